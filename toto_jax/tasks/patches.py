"""Continuous patches in: the paper's two alternatives to tokens on both sides (section 4.1, Table 3).

A clip is a start token and then its patches, frames in time order, each in raster order. Every position predicts the
patch that comes next, the start token the first one; nothing follows the last one, so there is no end token.

Shapes: B clips, F frames, N patches of a clip, P values of a patch, T positions, L layers, D model width, V vocabulary.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from toto_jax.errors import ConfigError
from toto_jax.models.cross_entropy import head_nll
from toto_jax.models.decoder import Decoder, DecoderConfig
from toto_jax.models.functional import Functional
from toto_jax.models.parametrisation import effective, initial, scales, standard
from toto_jax.models.patches import PatchEnds, normalise, patchify
from toto_jax.sharding.rules import parts_of
from toto_jax.tasks.tokenizer import pixel_batch
from toto_jax.tokenizers.convolutions import COLOURS
from toto_jax.training.task import Batch, Metrics
from toto_jax.tree import Params
from toto_jax.video import ClipGeometry

PATCH_TASKS = ("patch_to_patch", "patch_to_code")
NO_CONTINUATION = (
    "a model of patches can't continue a video: it takes pixels in, and gives out codes, or the mean of all possible "
    "patches without their brightness and contrast"
)


@dataclasses.dataclass(frozen=True)
class PatchesConfig:
    """Attributes:
    side: of a patch, in pixels.
    loss_chunks: of "patch_to_code": parts of a sequence whose logits are held at a time; 1 holds them all.

    Raises:
      ConfigError: unless both are positive.
    """

    side: int
    loss_chunks: int

    def __post_init__(self) -> None:
        for name in ("side", "loss_chunks"):
            if getattr(self, name) < 1:
                raise ConfigError(f"config.patches.{name} must be 1 or more, got {getattr(self, name)}")


class _FromPatches:
    """A decoder between an embedding of patches and a head of its own."""

    activation_axes = ("sequence",)
    units = "patches"

    def __init__(
        self, decoder: Decoder, geometry: ClipGeometry, config: PatchesConfig, outputs: int, outputs_axis: str
    ):
        self.decoder = decoder
        self.geometry = geometry
        self.config = config
        self.context = geometry.codes
        self.inputs = config.side**2 * COLOURS
        self.outputs = outputs
        self._ends = self._make_ends(decoder.config, outputs_axis)
        axes = self._ends.logical_axes()
        self._ends_scales = standard(axes)
        if decoder.mup is not None:
            base = self._make_ends(decoder.mup.base, outputs_axis)
            self._ends_scales = scales(axes, self._ends.shapes(), base.shapes(), decoder.mup)
        self.scales = {**decoder.scales, **self._ends_scales}

    def _make_ends(self, config: DecoderConfig, outputs_axis: str) -> Functional[PatchEnds]:
        return Functional(functools.partial(PatchEnds, config, self.inputs, self.outputs, outputs_axis))

    def init(self, key: jax.Array) -> Params:
        decoder_key, ends_key = jax.random.split(key)
        ends = initial(self._ends.init(ends_key), self._ends_scales)
        return {**self.decoder.init(decoder_key), **ends}

    def logical_axes(self) -> Any:
        return {**self.decoder.logical_axes(), **self._ends.logical_axes()}

    def batch_spec(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
        frames, size = self.geometry.frames, self.geometry.height * self.config.side
        start = jax.ShapeDtypeStruct((batch_size,), jnp.int32)
        return {**pixel_batch(batch_size, frames, size), "start": start}

    def features(self, params: Params, batch: Batch, layers: tuple[int, ...]) -> jax.Array:
        """Returns hidden_LBND at the patches; see `tasks.sequence.SequenceTask`."""
        ends, decoder_params = self._parts(params)
        x_BTD = ends.embed(patchify(batch["pixels"], self.config.side), batch["start"])
        return self.decoder.apply(decoder_params, x_BTD, hidden=layers, logits=False).hidden_LBTD[:, :, 1:]

    def _parts(self, params: Params) -> tuple[PatchEnds, Params]:
        names = self._ends.logical_axes()
        ends = self._ends.bind(effective({name: params[name] for name in names}, self._ends_scales))
        return ends, {name: values for name, values in params.items() if name not in names}

    def _final_states(self, params: Params, batch: Batch) -> tuple[PatchEnds, jax.Array, jax.Array]:
        """Returns the ends, patches_BNP, and x_BTD whose position i has seen the patches before i; T >= N."""
        ends, decoder_params = self._parts(params)
        patches_BNP = patchify(batch["pixels"], self.config.side)
        # Positions that are split over devices must divide; what is put behind them is seen by none before it.
        missing = -patches_BNP.shape[1] % parts_of("sequence")
        known_BNP = jnp.pad(patches_BNP[:, :-1], ((0, 0), (0, missing), (0, 0)))
        x_BTD = ends.embed(known_BNP, batch["start"])
        return ends, patches_BNP, self.decoder.final_states(decoder_params, x_BTD)


class PatchToPatch(_FromPatches):
    """Regresses the next patch's normalised pixels, as MAE those of masked patches.

    The error is that of one guess for each patch: the best one is the mean over all that could follow.

    Args:
      decoder: the transformer, without a vocabulary.
      geometry: frames and patches of a clip.
      config: how large patches are.
    """

    def __init__(self, decoder: Decoder, geometry: ClipGeometry, config: PatchesConfig):
        super().__init__(decoder, geometry, config, config.side**2 * COLOURS, "patch")

    def squared_error(self, params: Params, batch: Batch) -> jax.Array:
        """Returns error_BNP of each value of each patch, in units of the patch's own variance."""
        ends, patches_BNP, x_BTD = self._final_states(params, batch)
        return jnp.square(ends.predict(x_BTD)[:, : patches_BNP.shape[1]] - normalise(patches_BNP))

    def position_loss(self, params: Params, batch: Batch) -> jax.Array:
        """Returns the mean squared error of each patch, loss_BN."""
        return self.squared_error(params, batch).mean(-1)

    def loss(
        self, params: Params, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """Returns the squared error, averaged over positions and values: about 1 for a guess of zeros."""
        del key, step
        error_BNP = self.squared_error(params, batch)
        return error_BNP.mean(), {"loss": (error_BNP.sum(), jnp.float32(error_BNP.size))}


class PatchToCode(_FromPatches):
    """Predicts the code of the next patch; codes of the very same clips come with the pixels.

    Codes have the ids that they have in a Toto's sequences, so that losses compare.

    Args:
      decoder: the transformer, without a vocabulary.
      geometry: frames and patches of a clip, which are those of its codes.
      config: how large patches are.
      vocabulary: ids of the codes, padded (`video.vocabulary_size`).
    """

    def __init__(self, decoder: Decoder, geometry: ClipGeometry, config: PatchesConfig, vocabulary: int):
        super().__init__(decoder, geometry, config, vocabulary, "vocabulary")

    def batch_spec(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
        ids = jax.ShapeDtypeStruct((batch_size, self.geometry.sequence_length), jnp.int32)
        return {**super().batch_spec(batch_size), "ids": ids}

    def position_loss(self, params: Params, batch: Batch) -> jax.Array:
        """Returns the negative log-likelihood of each code, nll_BN, in nats."""
        ends, patches_BNP, x_BTD = self._final_states(params, batch)
        count = patches_BNP.shape[1]
        targets_BT = jnp.pad(batch["ids"][:, 1:-1], ((0, 0), (0, x_BTD.shape[1] - count)))
        return head_nll(x_BTD, ends.head_DV(), targets_BT, self.config.loss_chunks)[:, :count]

    def loss(
        self, params: Params, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """Returns the mean negative log-likelihood over all codes, which is a Toto's `code_loss`."""
        del key, step
        nll_BN = self.position_loss(params, batch)
        return nll_BN.mean(), {"loss": (nll_BN.sum(), jnp.float32(nll_BN.size))}
