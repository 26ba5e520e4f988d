"""What a decoder hands back: logits, hidden states and the cache of what it has seen.

Shapes: B sequences, T new positions, V vocabulary, D model width, L layers, S cached positions, K key-value
heads, H size of a head.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import numpy as np

KeysValues = tuple[jax.Array, jax.Array]
# What one layer keeps of the positions that it has seen: keys_BKSH, rotated already, and values_BKSH of attention.
Kept = Any


class Past(NamedTuple):
    """What one layer is told of earlier positions.

    Attributes:
      kept: what it kept of them.
      length: int32 scalar, how many they are.
      empty: whether there is none, for certain: then nobody needs to look.
    """

    kept: Kept
    length: jax.Array
    empty: bool


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Cache:
    """What the layers keep of the positions seen so far.

    Attributes:
      layers: of each layer. Apart, since a loop over steps writes to arrays of their own in place.
      length: int32 scalar, how many positions were seen. Room behind them is never looked at.
      room: S, positions that the cache can hold.
    """

    layers: tuple[Kept, ...]
    length: jax.Array
    room: int = dataclasses.field(metadata={"static": True})

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
