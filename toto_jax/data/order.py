"""The order of a source's clips: place in its endless stream -> number of the clip, by arithmetic alone.

Each epoch visits every clip once. By default it is shuffled as a whole. With a window, the shards come in an order
drawn for the epoch, so many at a time, and clips are shuffled among the shards of a window: a machine then needs few
shards at once. Nothing is remembered between calls, and nothing grows with the number of epochs.

Shapes: N places or clips, S shards.
"""

import dataclasses
import hashlib
import math
from collections.abc import Sequence

import numpy as np

from toto_jax.data.manifest import Manifest

_ROUNDS = 6


def permuted(places_N: np.ndarray, size: int, key: Sequence[int]) -> np.ndarray:
    """Returns where a permutation of 0..size-1, drawn by `key`, takes each place; int64.

    A Feistel network over pairs of digits, repeated for what falls outside (Black and Rogaway, "Ciphers with arbitrary
    finite domains", 2002).
    """
    right = math.isqrt(max(size - 1, 0)) + 1
    left = -(-size // right)
    keys = np.random.SeedSequence(key).generate_state(_ROUNDS, np.uint64)
    result_N = places_N.astype(np.int64)
    walking = np.arange(len(result_N))
    while len(walking):
        high, low = np.divmod(result_N[walking], right)
        for number in range(0, _ROUNDS, 2):
            high = (high + _hash(low, keys[number], left)) % left
            low = (low + _hash(high, keys[number + 1], right)) % right
        result_N[walking] = high * right + low
        walking = walking[result_N[walking] >= size]
    return result_N


def _hash(values: np.ndarray, key: np.uint64, modulus: int) -> np.ndarray:
    """Returns 64 well mixed bits of each value, less whole multiples of the modulus (the finaliser of MurmurHash3)."""
    mixed = values.astype(np.uint64) ^ key
    for factor in (np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)):
        mixed = (mixed ^ (mixed >> np.uint64(33))) * factor
    return ((mixed ^ (mixed >> np.uint64(33))) % np.uint64(modulus)).astype(np.int64)


@dataclasses.dataclass(frozen=True)
class Window:
    """Places [start, end) of a source's endless stream: one visit to these shards."""

    start: int
    end: int
    shards: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class _Epoch:
    """One epoch's shards in order, where each begins within the epoch, and where each window ends."""

    number: int
    shards_S: np.ndarray
    begins_S: np.ndarray
    window_ends: np.ndarray


class Order:
    """The order of one source.

    Args:
      records: clips of each shard.
      window: shards among which clips are shuffled; 0 for all.
      seed: of the run.
      name: of the source: its order depends on nothing that a neighbour does.

    Attributes:
      size: clips of an epoch.
    """

    def __init__(self, records: Sequence[int], window: int, seed: int, name: str):
        self._records_S = np.array(records, np.int64)
        self._first_S = np.cumsum(self._records_S) - self._records_S
        self.size = int(self._records_S.sum())
        self._window = window or len(records)
        self._key = int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "little")
        self._epoch = self._draw(0)

    def numbers(self, places_N: np.ndarray) -> np.ndarray:
        """Returns the number of the clip at each place of the stream, int64."""
        epoch_N, within_N = np.divmod(places_N, self.size)
        numbers_N = np.empty_like(within_N)
        for number in np.unique(epoch_N):
            here = epoch_N == number
            numbers_N[here] = self._of_epoch(self._drawn(int(number)), within_N[here])
        return numbers_N

    def window(self, place: int) -> Window:
        """Returns the window that a place of the stream lies in."""
        number, within = divmod(place, self.size)
        epoch, began = self._drawn(number), number * self.size
        window = int(np.searchsorted(epoch.window_ends, within, side="right"))
        start, end = _bounds(epoch, window)
        shards_S = epoch.shards_S[window * self._window : (window + 1) * self._window]
        return Window(began + start, began + end, tuple(shards_S.tolist()))

    def _of_epoch(self, epoch: _Epoch, within_N: np.ndarray) -> np.ndarray:
        window_N = np.searchsorted(epoch.window_ends, within_N, side="right")
        shuffled_N = np.empty_like(within_N)
        for window in np.unique(window_N):
            here = window_N == window
            start, end = _bounds(epoch, int(window))
            key = (self._key, epoch.number, int(window))
            shuffled_N[here] = start + permuted(within_N[here] - start, end - start, key)
        rank_N = np.searchsorted(epoch.begins_S, shuffled_N, side="right") - 1
        return self._first_S[epoch.shards_S[rank_N]] + shuffled_N - epoch.begins_S[rank_N]

    def _drawn(self, number: int) -> _Epoch:
        # Read and replaced whole, so threads may share it; around the end of an epoch they draw it more than once.
        epoch = self._epoch
        if epoch.number != number:
            self._epoch = epoch = self._draw(number)
        return epoch

    def _draw(self, number: int) -> _Epoch:
        count = len(self._records_S)
        shards_S = np.arange(count)
        if self._window < count:
            shards_S = permuted(shards_S, count, (self._key, number))
        ends_S = np.cumsum(self._records_S[shards_S])
        last_S = np.minimum(np.arange(self._window, count + self._window, self._window), count) - 1
        return _Epoch(number, shards_S, ends_S - self._records_S[shards_S], ends_S[last_S])


def source_order(manifest: Manifest, window: int, seed: int, name: str) -> Order:
    """Returns the order of a source's clips; all who read or stage them ask here."""
    return Order([shard.records for shard in manifest.shards], window, seed, name)


def _bounds(epoch: _Epoch, window: int) -> tuple[int, int]:
    return int(epoch.window_ends[window - 1]) if window else 0, int(epoch.window_ends[window])
