"""What a decoder hands back: logits, hidden states and the cache of keys and values.

Shapes: B sequences, T new positions, V vocabulary, D model width, L layers, S cached positions, K key-value
heads, H size of a head.
"""

import dataclasses

import jax
import numpy as np

KeysValues = tuple[jax.Array, jax.Array]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Cache:
    """Keys and values of the positions seen so far; room for S of them.

    Attributes:
      layers: each layer's keys_BKSH, rotated already, and values_BKSH. Apart, since a loop over steps writes to
        arrays of their own in place.
      length: int32 scalar, how many positions are filled. The rest is never looked at.
    """

    layers: tuple[KeysValues, ...]
    length: jax.Array

    @property
    def room(self) -> int:
        """Positions that the cache can hold."""
        return self.layers[0][0].shape[2]

    @property
    def known_empty(self) -> bool:
        """Whether the cache is fresh from `init_cache` in the same trace: then nobody needs to look at it."""
        return isinstance(self.length, np.integer) and self.length == 0


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class DecoderOutput:
    """What `Decoder.apply` returns; what wasn't asked for is None.

    Attributes:
      logits_BTV: float32; position t predicts token t + 1.
      hidden_LBTD: the requested hidden states in the order of the request, in the compute dtype.
      cache: the cache that was given, with the new positions in it.
    """

    logits_BTV: jax.Array | None
    hidden_LBTD: jax.Array | None
    cache: Cache | None
