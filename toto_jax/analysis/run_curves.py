"""What an analysis of several runs knows of each: its size, its compute and its losses on the way.

Shapes: P points at which a loss was measured, S lines of the training log.
"""

import collections
import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from toto_jax.analysis.compute import Convention
from toto_jax.analysis.frontier import Points
from toto_jax.errors import DataError


@dataclasses.dataclass(frozen=True)
class RunCurve:
    """Attributes:
    name: unique among the runs that are looked at together.
    parameters: all of them, embeddings too.
    layers, width: of the model.
    learning_rate: the peak.
    batch_size: sequences of a step.
    tokens: of a sequence, those that go into the model.
    macs: multiply-accumulates of a forward pass over one sequence.
    steps: that the run is to take.
    codes: what its losses are about, in words.
    recipe: what else two runs must have in common for their learning rates to compare, in words.
    diverged: whether it ended because its loss or gradients were not finite.
    held_out: whether loss_P is of held-out clips; of training clips where none was measured.
    step_P, loss_P: finite points, nats per code.
    train_step_S, train_loss_S: finite training losses.
    """

    name: str
    parameters: int
    layers: int
    width: int
    learning_rate: float
    batch_size: int
    tokens: int
    macs: float
    steps: int
    codes: str
    recipe: str
    diverged: bool
    held_out: bool
    step_P: np.ndarray
    loss_P: np.ndarray
    train_step_S: np.ndarray
    train_loss_S: np.ndarray

    @property
    def finished(self) -> bool:
        """Whether its training log reaches its last step."""
        return bool(len(self.train_step_S)) and int(self.train_step_S[-1]) >= self.steps

    def compute(self, steps: np.ndarray | int, convention: Convention) -> np.ndarray | float:
        """Returns what so many steps have taken."""
        return convention.of(steps * float(self.batch_size) * self.macs, self.tokens)

    def points(self, convention: Convention) -> Points:
        """Returns its losses over compute."""
        return Points(self.compute(self.step_P, convention), self.loss_P)


def alike(
    runs: Sequence[RunCurve], describe: Callable[[RunCurve], str]
) -> tuple[list[RunCurve], dict[str, str]]:
    """Returns the largest group of runs of equal descriptions, and for each of the others why it isn't in it."""
    if not runs:
        return [], {}
    ((most, _),) = collections.Counter(map(describe, runs)).most_common(1)
    left_out = {
        run.name: f"it has {describe(run)}, most have {most}" for run in runs if describe(run) != most
    }
    return [run for run in runs if run.name not in left_out], left_out


def thinned(steps: np.ndarray, values: np.ndarray, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns at most so many points of a log: means of equal stretches, each at its last step."""
    starts = np.unique(np.linspace(0, len(steps), points + 1).astype(np.int64))[:-1]
    if not len(steps):
        return steps, values
    ends = np.append(starts[1:], len(steps))
    return steps[ends - 1], np.add.reduceat(values, starts) / (ends - starts)


def for_a_law(runs: Sequence[RunCurve], left_out: Mapping[str, str]) -> tuple[list[RunCurve], dict[str, str]]:
    """Returns the runs whose losses make one law, and all others with the reason.

    Args:
      runs: that could be read.
      left_out: those that could not.

    Raises:
      DataError: if fewer than two are left.
    """
    others = dict(left_out)
    others |= {run.name: "it diverged" for run in runs if run.diverged}
    others |= {run.name: "it has logged no loss" for run in runs if not len(run.loss_P)}
    kept, different = alike([run for run in runs if run.name not in others], lambda run: run.codes)
    return two_or_more(kept, others | different)


def two_or_more(runs: list[RunCurve], left_out: dict[str, str]) -> tuple[list[RunCurve], dict[str, str]]:
    """Returns what it is given.

    Raises:
      DataError: if there are fewer than two runs.
    """
    if len(runs) < 2:
        reasons = "".join(f"\n  {name}: {why}" for name, why in left_out.items())
        raise DataError(f"Of these runs {len(runs)} can be used, and two or more are wanted.{reasons}")
    return runs, left_out
