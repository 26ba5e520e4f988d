"""Predict the next token of a clip: the paper's pre-training objective (section 3.1, equation 1).

Shapes: B sequences, T = codes + 2 tokens of a sequence, N codes, V vocabulary, L layers, D model width.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from toto_jax.errors import ConfigError
from toto_jax.models.cross_entropy import head_nll
from toto_jax.models.decoder import Decoder
from toto_jax.sharding.rules import constrain, parts_of
from toto_jax.training.task import Batch, Metrics
from toto_jax.tree import Params
from toto_jax.video import ClipGeometry


@dataclasses.dataclass(frozen=True)
class NextTokenConfig:
    """Attributes:
    end_token_loss: whether the end token is among the targets (the paper doesn't say; it costs one position).
    loss_chunks: parts of a sequence whose logits are held at a time; 1 holds them all.

    Raises:
      ConfigError: unless there is at least one part.
    """

    end_token_loss: bool
    loss_chunks: int

    def __post_init__(self) -> None:
        if self.loss_chunks < 1:
            raise ConfigError(
                f"config.next_token.loss_chunks={self.loss_chunks}: give 1 to hold all logits, or more"
            )


class NextToken:
    """The task of a Toto.

    Args:
      decoder: the transformer.
      geometry: frames and codes of a clip.
      config: which positions count.
    """

    activation_axes = ("sequence",)
    units = "tokens"
    inputs = 0

    def __init__(self, decoder: Decoder, geometry: ClipGeometry, config: NextTokenConfig):
        self.decoder = decoder
        self.geometry = geometry
        self.config = config
        self.context = geometry.sequence_length - 1
        self.outputs = decoder.vocabulary

    @property
    def scales(self) -> Any:
        return self.decoder.scales

    def init(self, key: jax.Array) -> Params:
        return self.decoder.init(key)

    def logical_axes(self) -> Any:
        return self.decoder.logical_axes()

    def batch_spec(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
        return {"ids": jax.ShapeDtypeStruct((batch_size, self.geometry.sequence_length), jnp.int32)}

    def features(self, params: Params, batch: Batch, layers: tuple[int, ...]) -> jax.Array:
        """Returns hidden_LBND at the codes; see `tasks.sequence.SequenceTask`."""
        ids_BT = batch["ids"][:, :-1]
        return self.decoder.apply(params, ids_BT, hidden=layers, logits=False).hidden_LBTD[:, :, 1:]

    def position_loss(self, params: Params, batch: Batch) -> jax.Array:
        """Returns the negative log-likelihood of each code, nll_BN, in nats."""
        return self.nll(params, batch["ids"])[:, : self.geometry.codes]

    def nll(self, params: Params, ids_BT: jax.Array) -> jax.Array:
        """Returns nll_BT of the targets ids_BT[:, 1:]: the codes, then (if it is learned) the end token."""
        last = None if self.config.end_token_loss else -1
        inputs_BT, targets_BT = ids_BT[:, :-1][:, :last], ids_BT[:, 1:][:, :last]
        # Positions that are split over devices must divide; what is put behind them is seen by none before it.
        targets, missing = targets_BT.shape[1], -targets_BT.shape[1] % parts_of("sequence")
        # They are cut from ids that every device along the sequence has: else the compiler shifts them between devices.
        inputs_BT, targets_BT = (
            constrain(jnp.pad(ids, ((0, 0), (0, missing))), "batch", None) for ids in (inputs_BT, targets_BT)
        )
        x_BTD, w_DV = self.decoder.logit_factors(params, inputs_BT)
        return head_nll(x_BTD, w_DV, targets_BT, self.config.loss_chunks)[:, :targets]

    def loss(
        self, params: Params, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """Returns the mean negative log-likelihood over all targets, and that over codes alone.

        `code_loss` leaves out the end token, which is nearly free, so it compares with the paper's curves.
        """
        del key, step
        nll_BT = self.nll(params, batch["ids"])
        codes_BN = nll_BT[:, : self.geometry.codes]
        count = jnp.float32(nll_BT.size)
        return nll_BT.mean(), {
            "loss": (nll_BT.sum(), count),
            "code_loss": (codes_BN.sum(), jnp.float32(codes_BN.size)),
        }
