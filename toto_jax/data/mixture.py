"""Which source each row of the training stream comes from, and which row of that source it is, from its number alone.

Weights may change at given steps, which cuts a run into phases. Within a phase every block of `sum(weights)` rows holds
each source exactly `weight` times, evenly spread, so shares are exact at any point to within one block. (Grain's own
`mix` truncates weight ratios to a hundredth of the smallest.) A source goes on in the next phase where it was.

Shapes: N rows, S sources, W rows of a block.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from toto_jax.errors import ConfigError

# A weight, or (step, weight from that step on) for each change.
Weight = int | tuple[tuple[int, int], ...]
_EXAMPLE = "((0, 20), (10_000, 40))"


def phases(mixture: Mapping[str, Weight]) -> list[tuple[int, dict[str, int]]]:
    """Returns (first step, source -> weight) of each phase of a run.

    Weights are reduced by their common divisor. Sources that never have a positive weight are left out.

    Raises:
      ConfigError: on a negative or fractional weight, steps that don't begin at 0 or don't ascend, or a phase in which
        no source has a positive weight.
    """
    changes = {name: _changes(name, weight) for name, weight in mixture.items()}
    changes = {name: pairs for name, pairs in changes.items() if any(weight for _, weight in pairs)}
    if not changes:
        raise ConfigError(f"config.data.mixture has no source of positive weight: {dict(mixture)}")
    found = []
    for first in sorted({step for pairs in changes.values() for step, _ in pairs}):
        weights = {
            name: [weight for step, weight in pairs if step <= first][-1] for name, pairs in changes.items()
        }
        divisor = math.gcd(*weights.values())
        if not divisor:
            raise ConfigError(
                f"config.data.mixture has no source of positive weight from step {first} on: {dict(mixture)}"
            )
        found.append((first, {name: weight // divisor for name, weight in weights.items()}))
    return found


def _changes(name: str, weight: Weight) -> list[tuple[int, int]]:
    given = f"config.data.mixture.{name}={weight!r}"
    pairs = weight if isinstance(weight, (tuple, list)) else [(0, weight)]
    if not pairs or not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
        raise ConfigError(
            f"{given} must be a weight, or pairs of a step and the weight from that step on: {_EXAMPLE}"
        )
    for step, value in pairs:
        if not _is_whole(value):
            raise ConfigError(
                f"{given} must be a whole number of 0 or more: give percentages or parts, e.g. 20, 10, 10, 60"
            )
        if not _is_whole(step):
            raise ConfigError(f"{given} must change at whole steps of 0 or more, not at {step!r}")
    steps = [step for step, _ in pairs]
    if steps[0] != 0 or any(after <= before for before, after in zip(steps, steps[1:], strict=False)):
        raise ConfigError(
            f"{given} must say the weight from step 0 on first, then later steps in order: {_EXAMPLE}"
        )
    return [(int(step), int(value)) for step, value in pairs]


def _is_whole(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0 and value % 1 == 0


def interleaving(weights: Sequence[int]) -> list[int]:
    """Returns the order of sources within one block, each spread as evenly as whole rows allow."""
    block = sum(weights)
    # The k-th row of a source of weight w is due at (k + 1/2) / w of the block.
    due = [((2 * k + 1) * block / (2 * w), source) for source, w in enumerate(weights) for k in range(w)]
    return [source for _, source in sorted(due)]


class _Phase:
    """The rows from `first` on, while the weights stay; `taken_S` rows of each source came before."""

    def __init__(self, first: int, weights: Sequence[int], taken_S: np.ndarray):
        self.first = first
        self._taken_S, self.weights_S = taken_S, np.array(weights, np.int64)
        self._order_W = np.array(interleaving(weights), np.int64)
        self._within_W = np.empty_like(self._order_W)
        for source, weight in enumerate(weights):
            self._within_W[self._order_W == source] = np.arange(weight)

    def locate(self, rows_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        block_N, place_N = np.divmod(rows_N - self.first, len(self._order_W))
        source_N = self._order_W[place_N]
        before_N = self._taken_S[source_N] + block_N * self.weights_S[source_N]
        return source_N, before_N + self._within_W[place_N]

    def taken(self, row: int) -> np.ndarray:
        block, place = divmod(row - self.first, len(self._order_W))
        begun_S = np.bincount(self._order_W[:place], minlength=len(self.weights_S))
        return self._taken_S + block * self.weights_S + begun_S


class Mixture:
    """The mixture of a run, row by row.

    Args:
      mixture: source -> whole-number weight, or its changes over steps.
      batch_size: rows of a step.

    Raises:
      ConfigError: as `phases`.
    """

    def __init__(self, mixture: Mapping[str, Weight], batch_size: int):
        found = phases(mixture)
        self.names = tuple(found[0][1])
        self._batch_size = batch_size
        self._phases: list[_Phase] = []
        taken_S = np.zeros(len(self.names), np.int64)
        for step, weights in found:
            if self._phases:
                taken_S = self._phases[-1].taken(step * batch_size)
            self._phases.append(_Phase(step * batch_size, list(weights.values()), taken_S))
        self._firsts = np.array([phase.first for phase in self._phases], np.int64)

    def locate(self, rows_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns (the source of each row, its place in that source's own endless stream), int64."""
        source_N, place_N = np.empty((2, len(rows_N)), np.int64)
        phase_N = np.searchsorted(self._firsts, rows_N, side="right") - 1
        for number in np.unique(phase_N):
            here = phase_N == number
            source_N[here], place_N[here] = self._phases[number].locate(rows_N[here])
        return source_N, place_N

    def at_most(self, steps: int) -> np.ndarray:
        """Returns how many rows so many steps in a row may take of each source, int64 (S,): a bound from above."""
        # But for cut blocks a stretch takes most when it begins or ends where a phase does.
        begins = [phase.first // self._batch_size for phase in self._phases]
        stretches = [max(step, 0) for begin in begins for step in (begin, begin - steps)]
        most_S = np.max([self.taken(step + steps) - self.taken(step) for step in stretches], axis=0)
        cut_S = 4 * np.max([phase.weights_S for phase in self._phases], axis=0)
        return np.minimum(most_S + cut_S, steps * self._batch_size)

    def taken(self, step: int) -> np.ndarray:
        """Returns how many rows each source has given to the steps before `step`, int64 (S,)."""
        row = step * self._batch_size
        return self._phases[int(np.searchsorted(self._firsts, row, side="right")) - 1].taken(row)
