"""What stands before and after the blocks of a decoder: embedding, last norm, head.

Shapes: B sequences, T positions, V vocabulary, D model width.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from toto_jax.models.config import DecoderConfig
from toto_jax.models.functional import parameter
from toto_jax.models.layers import RMSNorm, linear
from toto_jax.sharding.per_device import per_device
from toto_jax.sharding.rules import constrain, parts_of


class Ends(nnx.Module):
    """The last norm and, unless inputs come embedded, embedding and head.

    Args:
      config: of the decoder.
      vocabulary: V, or 0 where inputs come embedded and another head follows.
    """

    norm: ClassVar[type[nnx.Module]] = RMSNorm

    def __init__(self, config: DecoderConfig, vocabulary: int, rngs: nnx.Rngs):
        size, init = config.d_model, nnx.initializers.normal(config.init_std)
        if vocabulary:
            self.embedding = parameter(rngs, (vocabulary, size), ("vocabulary", "embed"), init)
        self.final_norm = self.norm(size, config.norm_eps, rngs)
        if vocabulary and not config.tied_head:
            self.head = parameter(rngs, (size, vocabulary), ("embed", "vocabulary"), init)
        self.dtype = jnp.dtype(config.dtype)

    def embed(self, inputs_BT: jax.Array, positions_T: jax.Array) -> jax.Array:
        """Returns x_BTD in the compute dtype, of ids_BT or of what is embedded already.

        Positions are for families that embed them too.
        """
        del positions_T
        x_BTD = inputs_BT if inputs_BT.ndim == 3 else self._embed_ids(inputs_BT)
        return constrain(x_BTD.astype(self.dtype), "batch", "sequence", None)

    def _embed_ids(self, ids_BT: jax.Array) -> jax.Array:
        positions = ("batch", "sequence")
        look_up = _look_up
        # Each device looks its own tokens up, in the whole table. A prompt that doesn't divide isn't split.
        if all(size % parts_of(axis) == 0 for size, axis in zip(ids_BT.shape, positions, strict=True)):
            look_up = per_device(_look_up, ((None, None), positions), (*positions, None), split=positions)
        return look_up(self.embedding[...], ids_BT)

    def head_DV(self) -> jax.Array:
        """Returns the head: logits are its product with the normalised x_BTD."""
        return self.head[...] if hasattr(self, "head") else self.embedding[...].T

    def logits(self, x_BTD: jax.Array) -> jax.Array:
        """Returns logits_BTV, float32."""
        return linear(self.final_norm(x_BTD), self.head_DV(), jnp.float32)


def _look_up(table_VD: jax.Array, ids_BT: jax.Array) -> jax.Array:
    return table_VD[ids_BT]
