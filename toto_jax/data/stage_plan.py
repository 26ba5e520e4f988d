"""Which shards a windowed run reads when: a function of its config and step alone.

Shapes: S sources.
"""

import bisect
import dataclasses
import heapq
from collections.abc import Iterator, Mapping

import numpy as np

from toto_jax.data.manifest import Manifest, Shard
from toto_jax.data.mixture import Mixture
from toto_jax.data.order import source_order


@dataclasses.dataclass(frozen=True)
class Need:
    """The first step that reads from a window of a source, and the window's shards."""

    step: int
    source: str
    shards: tuple[Shard, ...]


class StagePlan:
    """The shards of a run.

    Args:
      mixture: of the run.
      manifests: source -> manifest of its training split, in the mixture's order.
      window: shards among which clips are shuffled.
      seed: of the run.
      steps: its length.
    """

    def __init__(
        self, mixture: Mixture, manifests: Mapping[str, Manifest], window: int, seed: int, steps: int
    ):
        self._mixture, self._window, self._steps = mixture, window, steps
        self._shards = {name: manifest.shards for name, manifest in manifests.items()}
        self._orders = {
            name: source_order(manifest, window, seed, name) for name, manifest in manifests.items()
        }

    @property
    def kept(self) -> dict[str, tuple[Shard, ...]]:
        """Of each source as many shards as a window has, evenly spread: evaluators read these at any time."""
        return {
            name: tuple(shards[i] for i in _spread(len(shards), self._window))
            for name, shards in self._shards.items()
        }

    def needs(self, step: int) -> Iterator[Need]:
        """Yields what a run reads that has done `step` steps, in the order in which it comes to it."""
        sources = [self._needs_of(source, name, step) for source, name in enumerate(self._shards)]
        return heapq.merge(*sources, key=lambda need: need.step)

    def _needs_of(self, source: int, name: str, step: int) -> Iterator[Need]:
        order, shards = self._orders[name], self._shards[name]
        place, end = (int(self._mixture.taken(at)[source]) for at in (step, self._steps))
        # Two epochs have seen every shard, whatever is left of the first.
        end = min(end, place + 2 * order.size)
        while place < end:
            window = order.window(place)
            first = bisect.bisect_right(
                range(self._steps), place, lo=step, key=lambda at: self._mixture.taken(at + 1)[source]
            )
            yield Need(first, name, tuple(shards[number] for number in window.shards))
            place = window.end

    def chosen(self, step: int, room: int) -> list[tuple[str, Shard]]:
        """Returns (source, shard) of what should be there after `step` steps, first needed first.

        Args:
          step: steps done.
          room: bytes that they may take together, besides those that are kept.
        """
        there = {(name, shard) for name, shards in self.kept.items() for shard in shards}
        found = []
        for need in self.needs(step):
            for shard in need.shards:
                if (need.source, shard) in there:
                    continue
                room -= shard.bytes
                if room < 0:
                    return found
                there.add((need.source, shard))
                found.append((need.source, shard))
        return found

    def least_room(self, ahead: int) -> int:
        """Returns the bytes that hold, at any time, all that `ahead` steps in a row read: a bound from above."""
        rows_S = self._mixture.at_most(ahead)
        total = 0
        for rows, shards in zip(rows_S.tolist(), self._shards.values(), strict=True):
            # The last window of an epoch may have fewer shards.
            last = len(shards) % self._window or min(self._window, len(shards))
            smallest = sum(sorted(shard.records for shard in shards)[:last])
            windows = 2 + rows // smallest
            total += sum(sorted((shard.bytes for shard in shards), reverse=True)[: windows * self._window])
        return total


def _spread(count: int, wanted: int) -> list[int]:
    """Returns at most `wanted` numbers of 0..count-1, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(wanted, count)).astype(np.int64)).tolist()
