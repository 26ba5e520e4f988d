"""Learn a tokenizer: VQGAN (2012.09841) in one pass, with any of the quantizers.

Shapes: B clips, F frames, N = B*F frames, H x W pixels, h x w positions, C = 3 colours, E code width, K codes.
"""

import dataclasses
import functools
import math
import pathlib
from typing import Any

import jax
import jax.numpy as jnp

from toto_jax.errors import ConfigError, nearest
from toto_jax.models.functional import Functional
from toto_jax.tasks.adversarial import Opinion, adaptive_weight, as_loss, hinge_loss, opinion
from toto_jax.tasks.entropy import mean_entropy, sample_entropy
from toto_jax.tasks.running_codes import RunningCodes, axes_of_running_codes
from toto_jax.tasks.tokenizer import frames_of, perplexity, pixel_batch
from toto_jax.tokenizers.discriminator import Discriminator
from toto_jax.tokenizers.perceptual import LEAST_SIZE, abstract, load_perceptual, perceptual
from toto_jax.tokenizers.quantizers import Quantized
from toto_jax.tokenizers.vqgan import VQGAN, to_unit_range
from toto_jax.training.task import Batch, Frozen, Metrics
from toto_jax.tree import Params

_CODEBOOKS = ("learned", "averaged")
# Two convolutions of 4 x 4 follow those that halve, and take one position each.
_LEAST_PATCHES = 3


@dataclasses.dataclass(frozen=True)
class VQGANTaskConfig:
    """Attributes:
    commitment_weight: of the squared distance from encoded vectors to their codes, which moves the vectors.
    codebook_weight: of the same, moving the codes; of a learned codebook.
    codebook: "learned" by gradients, or "averaged": running means of the vectors that chose a code.
    codebook_decay: of those running means.
    restart_below: share of equal use below which an averaged code takes the place of a random vector; 0 for never.
    entropy_weight: of a position's entropy; of binary quantizers, like the next two.
    diversity_weight: of minus the entropy of all positions' mean distribution.
    entropy_temperature: of the distributions.
    adversarial_weight: of the discriminator's opinion after both pulls were balanced; 0 for no discriminator.
    adversarial_start: step from which it counts.
    discriminator_start: step from which the discriminator learns.
    discriminator_width, discriminator_layers: its sizes.
    perceptual_weight: of LPIPS, the distance between pictures in the eyes of VGG16; 0 for none.
    perceptual_weights: folder of its weights.
    flip: whether half of the clips are mirrored.

    Raises:
      ConfigError: on a negative weight or step, an unknown codebook, or a perceptual loss without its weights.
    """

    commitment_weight: float
    codebook_weight: float
    codebook: str
    codebook_decay: float
    restart_below: float
    entropy_weight: float
    diversity_weight: float
    entropy_temperature: float
    adversarial_weight: float
    adversarial_start: int
    discriminator_start: int
    discriminator_width: int
    discriminator_layers: int
    perceptual_weight: float
    perceptual_weights: str
    flip: bool

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, str) and value < 0:
                raise ConfigError(f"config.vqgan.{name} must be 0 or more, got {value}")
        for name in ("entropy_temperature", "discriminator_width", "discriminator_layers"):
            if not getattr(self, name):
                raise ConfigError(f"config.vqgan.{name} must be positive, got 0")
        if self.codebook not in _CODEBOOKS:
            raise ConfigError(
                f"config.vqgan.codebook={self.codebook!r} is unknown; {nearest(self.codebook, _CODEBOOKS)}"
            )
        if self.codebook_decay >= 1 or self.restart_below >= 1:
            raise ConfigError("config.vqgan.codebook_decay and restart_below must be below 1")
        if self.perceptual_weight and not self.perceptual_weights:
            raise ConfigError(
                f"config.vqgan.perceptual_weight={self.perceptual_weight} needs a folder in perceptual_weights: python "
                "-m toto_jax.interop.import_weights lpips makes one of VGG16 and the heads of LPIPS"
            )


class VQGANTask:
    """Reconstruction, the quantizer's own losses, and a discriminator that learns beside them.

    Args:
      network: the tokenizer's.
      config: of the losses.
      frames: of a clip.
      size: H = W of a clip.

    Raises:
      ConfigError: if an averaged codebook is asked of a quantizer that has none.
    """

    activation_axes = ()

    def __init__(self, network: VQGAN, config: VQGANTaskConfig, frames: int, size: int):
        self.network = network
        self.config = config
        self._clip = (frames, size)
        self._averaged = config.codebook == "averaged"
        self._weights = {
            "reconstruction": 1.0,
            "commitment": config.commitment_weight,
            "codebook": config.codebook_weight,
            "entropy": config.entropy_weight,
            "diversity": config.diversity_weight,
            "perceptual": config.perceptual_weight,
        }
        if self._averaged and network.config.quantizer != "vq":
            raise ConfigError(
                f"config.vqgan.codebook='averaged' needs a codebook, and quantizer={network.config.quantizer!r} has "
                "none; 'learned' leaves it alone"
            )
        if config.adversarial_weight and size // 2**config.discriminator_layers < _LEAST_PATCHES:
            fitting = max((n for n in range(size.bit_length()) if size // 2**n >= _LEAST_PATCHES), default=0)
            raise ConfigError(
                f"Nothing is left of frames of {size} pixels after config.vqgan.discriminator_layers="
                f"{config.discriminator_layers}; at most {fitting} would do, or config.vqgan.adversarial_weight=0"
            )
        if config.perceptual_weight and size < LEAST_SIZE:
            raise ConfigError(
                f"config.vqgan.perceptual_weight={config.perceptual_weight}: VGG16 leaves nothing of {size} pixels; "
                f"config.clips.size of {LEAST_SIZE} or more would do"
            )
        if config.restart_below and not self._averaged:
            raise ConfigError("config.vqgan.restart_below needs config.vqgan.codebook='averaged'")

    @functools.cached_property
    def _discriminator(self) -> Functional[Discriminator]:
        sizes = self.config.discriminator_width, self.config.discriminator_layers
        return Functional(functools.partial(Discriminator, *sizes))

    @property
    def frozen(self) -> Frozen:
        """The perceptual network's parameters, where it is asked."""
        if not self.config.perceptual_weight:
            return Frozen()
        folder = pathlib.Path(self.config.perceptual_weights)
        return Frozen({"perceptual": abstract()}, lambda: {"perceptual": load_perceptual(folder)})

    def init(self, key: jax.Array) -> Params:
        """Returns `tokenizer`, and `discriminator` and `running` (means of codes) where there are such."""
        keys = jax.random.split(key)
        params = {"tokenizer": self.network.init(keys[0])}
        if self.config.adversarial_weight:
            params["discriminator"] = self._discriminator.init(keys[1])
        if self._averaged:
            params["running"] = RunningCodes.init(params["tokenizer"]["quantizer"]["codebook"])
        return params

    def logical_axes(self) -> Any:
        axes = {"tokenizer": self.network.logical_axes()}
        if self.config.adversarial_weight:
            axes["discriminator"] = self._discriminator.logical_axes()
        if self._averaged:
            axes["running"], axes["tokenizer"]["quantizer"]["codebook"] = axes_of_running_codes()
        return axes

    def tokenizer_params(self, params: Params) -> Params:
        return params["tokenizer"]

    def batch_spec(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
        return pixel_batch(batch_size, *self._clip)

    def loss(
        self, params: Params, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """Returns the sum of all losses, and its parts.

        `reconstruction` is the mean absolute error with pixels in -1..1, `mse` the squared one in units of white.
        `loss` is what the tokenizer minimises: without the discriminator's own, `discriminator`. `adaptive_weight` is
        of the discriminator's opinion, `adversarial`. `code_perplexity` is of the batch. `params` has `perceptual`
        beside what `init` returns, if `frozen` says so.
        """
        flip_key, restart_key = jax.random.split(key)
        x_NHWC = to_unit_range(frames_of(batch["pixels"], flip_key, self.config.flip))
        network, tokenizer = self.network, params["tokenizer"]
        quantized = network.quantize(tokenizer, network.encode(tokenizer, x_NHWC))
        features_NHWC = network.features(tokenizer, quantized.vectors_NhwE)
        painted_NHWC = network.paint(tokenizer, features_NHWC)

        error_NHWC = painted_NHWC - x_NHWC
        parts = {"reconstruction": jnp.abs(error_NHWC).mean(), **self._quantizer_losses(quantized)}
        pull_NHWC = jnp.sign(jax.lax.stop_gradient(error_NHWC)) / error_NHWC.size
        if self.config.perceptual_weight:
            said = self._perceptual(params["perceptual"], x_NHWC, painted_NHWC)
            parts["perceptual"] = as_loss(said, painted_NHWC)
            pull_NHWC += self.config.perceptual_weight * said.gradient_NHWC
        total = sum(self._weights[name] * value for name, value in parts.items())
        extra, others = jnp.float32(0), {}
        if self.config.adversarial_weight:
            pull, extra, others = self._adversarial(
                params, x_NHWC, features_NHWC, painted_NHWC, pull_NHWC, step
            )
            total += pull
        if self._averaged:
            extra += RunningCodes(self.config.codebook_decay, self.config.restart_below).update(
                params["running"], tokenizer["quantizer"]["codebook"], quantized, restart_key
            )
        counts_K = jnp.zeros(network.config.codebook_size).at[quantized.codes_Nhw].add(1)
        shown = {
            "loss": total,
            **parts,
            "mse": jnp.square(error_NHWC / 2).mean(),
            "code_perplexity": perplexity(counts_K / quantized.codes_Nhw.size),
            **others,
        }
        frames = jnp.float32(len(x_NHWC))
        return total + extra, {name: (value * frames, frames) for name, value in shown.items()}

    def _quantizer_losses(self, quantized: Quantized) -> dict[str, jax.Array]:
        """Returns the losses of this quantizer that have a weight, by the name of it."""
        kind, fixed = self.network.config.quantizer, jax.lax.stop_gradient
        latents, chosen = quantized.latents_NhwE, quantized.chosen_NhwE
        losses = {}
        if kind != "fsq":  # whose vectors can't run away
            losses["commitment"] = jnp.square(latents - fixed(chosen)).mean()
        if kind == "vq" and not self._averaged:
            losses["codebook"] = jnp.square(chosen - fixed(latents)).mean()
        if kind in ("lfq", "bsq"):
            scale = 1.0 if kind == "lfq" else 1 / math.sqrt(latents.shape[-1])
            settings = (scale, self.config.entropy_temperature)
            losses["entropy"] = sample_entropy(latents, *settings)
            losses["diversity"] = -mean_entropy(latents, *settings)
        return losses

    def _perceptual(self, params: Params, x_NHWC: jax.Array, painted_NHWC: jax.Array) -> Opinion:
        """Returns LPIPS between two batches of pictures, and its gradient with respect to the second."""
        network = perceptual().bind(jax.lax.stop_gradient(params))
        wanted = network.features(x_NHWC)
        return opinion(lambda x_NHWC: network.distance(wanted, network.features(x_NHWC)).mean(), painted_NHWC)

    def _adversarial(
        self,
        params: Params,
        x_NHWC: jax.Array,
        features_NHWC: jax.Array,
        painted_NHWC: jax.Array,
        pull_NHWC: jax.Array,
        step: jax.Array,
    ) -> tuple[jax.Array, jax.Array, dict[str, jax.Array]]:
        """Returns the generator's term, the discriminator's loss, and what to show of them.

        `pull_NHWC` is the gradient of the losses that compare pictures, with respect to the painted ones.
        """
        fixed, config, tokenizer = jax.lax.stop_gradient, self.config, params["tokenizer"]
        score = self._discriminator.bind(fixed(params["discriminator"]))
        said = opinion(lambda pictures_NHWC: -score(pictures_NHWC).mean(), painted_NHWC)
        output = tokenizer["decoder"]["output"]

        def paint(kernel: jax.Array) -> jax.Array:
            decoder = {**fixed(tokenizer["decoder"]), "output": {**fixed(output), "kernel": kernel}}
            return self.network.paint({"decoder": decoder}, fixed(features_NHWC))

        weight = config.adversarial_weight * adaptive_weight(paint, output["kernel"], pull_NHWC, said)
        pull = weight * (step >= config.adversarial_start) * as_loss(said, painted_NHWC)

        judge = self._discriminator.bind(params["discriminator"])
        real, painted = judge(x_NHWC), judge(fixed(painted_NHWC))
        own = (step >= config.discriminator_start) * hinge_loss(real, painted)
        shown = {
            "adversarial": said.loss,
            "adaptive_weight": weight,
            "discriminator": own,
            "logits_real": real.mean(),
            "logits_painted": painted.mean(),
        }
        return pull, own, shown
