"""The scaling law of some runs by two methods, with intervals.

How sure a law is depends on the runs: the points of one share its seed, its order of data, its held-out clips. Each
run's mean distance from the law is one sample of that scatter. In each of many draws all losses of a run are moved by
a common factor of such a size, and everything is done again: frontier, budgets and fits. The size itself is drawn too,
by as much as so few runs leave it open, so that draws follow Student's t. What part of the distance is no scatter (the
frontier of a few sizes lies a little above that of all) counts as scatter: intervals are rather too wide.

Shapes: R runs, F points of the frontier.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from toto_jax.analysis.frontier import Frontier, Points, frontier
from toto_jax.analysis.isoflop import IsoFlop, isoflop
from toto_jax.analysis.power_law import PowerLaw, fit_power_law
from toto_jax.errors import DataError

T = TypeVar("T")

# In percent, the ends of an interval; and the share of draws that must have worked for there to be one.
_ENDS = (5.0, 95.0)
_WORKED = 0.8
_SEED = 0
FORMS = {"a C^b": False, "a C^b + c": True}


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A fitted law, its C in the unit of a convention.

    Attributes:
      law: the fit.
      draws: the same of moved runs; empty where runs are too few to say how they scatter.
      error: root mean square of its log errors on what it was fitted to.
    """

    law: PowerLaw
    draws: tuple[PowerLaw, ...]
    error: float

    def interval(self, name: str) -> tuple[float, float] | None:
        """Returns the 90% interval of "a", "b" or "c", or None."""
        if not self.draws:
            return None
        low, high = np.percentile([getattr(law, name) for law in self.draws], _ENDS)
        return float(low), float(high)

    def band(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Returns the 90% interval of the law at each x, or None."""
        if not self.draws:
            return None
        low, high = np.percentile([law(x) for law in self.draws], _ENDS, axis=0)
        return low, high


@dataclasses.dataclass(frozen=True)
class LawStudy:
    """Attributes:
    frontier: None if the runs have none.
    laws: form ("a C^b") -> the fit to the frontier.
    isoflop: None if the runs don't allow it.
    best_size, best_loss: its two power laws.
    problems: what could not be done, in sentences.
    """

    frontier: Frontier | None
    laws: dict[str, Estimate]
    isoflop: IsoFlop | None
    best_size: Estimate | None
    best_loss: Estimate | None
    problems: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Scatter:
    """Attributes:
    deviation: of a run's losses, relative.
    degrees: of freedom that it was measured with.
    """

    deviation: float
    degrees: int

    def moved(self, curves: Sequence[Points], draws: int) -> Iterator[list[Points]]:
        random = np.random.default_rng(_SEED)
        for _ in range(draws):
            deviation = self.deviation * np.sqrt(self.degrees / random.chisquare(self.degrees))
            factor_R = np.exp(deviation * random.standard_normal(len(curves)))
            yield [
                Points(one.compute_P, one.loss_P * factor)
                for one, factor in zip(curves, factor_R, strict=True)
            ]


def study(curves: Sequence[Points], sizes: Sequence[int], budgets: int, draws: int) -> LawStudy:
    """Fits the laws of some runs.

    Args:
      curves: loss over compute, in the unit that C shall have.
      sizes: parameters of each.
      budgets: of the IsoFLOP method.
      draws: for intervals.
    """
    problems: list[str] = []
    laws: dict[str, Estimate] = {}
    found, scatter = None, None
    try:
        found = frontier(curves)
        for form, floor in FORMS.items():
            laws[form] = frontier_law(curves, found, floor, draws)
            scatter = _scatter(found, laws[form].law, floor) or scatter
            if not laws[form].draws:
                problems.append(
                    f"No interval for {form}: {len(np.unique(found.run_F))} runs hold the frontier, and an interval "
                    f"wants {5 if floor else 4} or more."
                )
    except DataError as error:
        problems.append(str(error))
    by_budget, best_size, best_loss = None, None, None
    try:
        by_budget = isoflop(curves, sizes, budgets)
        best_size, best_loss = _isoflop_laws(curves, sizes, by_budget, budgets, scatter, draws)
        if not best_size.draws:
            problems.append(
                "No interval for IsoFLOP: moved by their scatter, these runs mostly have no best size."
            )
        if by_budget.passed_over:
            problems.append(
                f"IsoFLOP passed over {len(by_budget.passed_over)} of {budgets} budgets, whose best size would lie "
                "outside of the sizes that were trained."
            )
    except DataError as error:
        problems.append(str(error))
    return LawStudy(found, laws, by_budget, best_size, best_loss, tuple(problems))


def frontier_law(curves: Sequence[Points], found: Frontier, floor: bool, draws: int) -> Estimate:
    """Returns the law of a frontier.

    Args:
      curves: that it is the frontier of.
      found: the frontier.
      floor: whether the law has a c.
      draws: for intervals.

    Raises:
      DataError: if the frontier has too few points.
    """
    law = fit_power_law(found.compute_F, found.loss_F, floor)
    scatter = _scatter(found, law, floor)

    def again(moved: Sequence[Points]) -> PowerLaw:
        edge = frontier(moved)
        return fit_power_law(edge.compute_F, edge.loss_F, floor, start=law)

    drawn = [] if scatter is None else _drawn(scatter.moved(curves, draws), again)
    return Estimate(law, tuple(drawn), _error(law, found.compute_F, found.loss_F))


def _isoflop_laws(
    curves: Sequence[Points],
    sizes: Sequence[int],
    found: IsoFlop,
    budgets: int,
    scatter: _Scatter | None,
    draws: int,
) -> tuple[Estimate, Estimate]:
    drawn = (
        []
        if scatter is None
        else _drawn(scatter.moved(curves, draws), lambda moved: isoflop(moved, sizes, budgets))
    )
    compute, size, loss = np.array([(one.compute, one.best_size, one.best_loss) for one in found.budgets]).T
    return (
        Estimate(found.size, tuple(one.size for one in drawn), _error(found.size, compute, size)),
        Estimate(found.loss, tuple(one.loss for one in drawn), _error(found.loss, compute, loss)),
    )


def _scatter(found: Frontier, law: PowerLaw, floor: bool) -> _Scatter | None:
    """Returns how runs scatter around a law; None if not two more of them hold the frontier than it has parameters: of
    one degree of freedom Student's t has no variance, and intervals would be anything."""
    errors_F = law.log_errors(found.compute_F, found.loss_F)
    means = np.array([errors_F[found.run_F == run].mean() for run in np.unique(found.run_F)])
    degrees = len(means) - (3 if floor else 2)
    return _Scatter(float(np.sqrt((means**2).sum() / degrees)), degrees) if degrees > 1 else None


def _drawn(moved: Iterator[list[Points]], again: Callable[[Sequence[Points]], T]) -> list[T]:
    """Returns what `again` makes of moved runs; nothing if it mostly fails, as on runs that hardly allow it."""
    found, tried = [], 0
    for curves in moved:
        tried += 1
        try:
            found.append(again(curves))
        except DataError:
            continue
    return found if len(found) >= _WORKED * tried else []


def _error(law: PowerLaw, x: np.ndarray, y: np.ndarray) -> float:
    return float(np.sqrt(np.square(law.log_errors(x, y)).mean()))
