"""IsoFLOP: which size is best for a budget, from runs of several sizes cut off at the same compute (2203.15556, 3.2).

At each of some budgets a parabola is laid through loss over the logarithm of size; its lowest point is the best size
and its loss. Both are then power laws of the budget.

Shapes: R runs.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from toto_jax.analysis.frontier import Points
from toto_jax.analysis.power_law import PowerLaw, fit_power_law
from toto_jax.errors import DataError

# A parabola has three parameters, a power law two and one for its scatter.
_SIZES = 3
_BUDGETS = 3
# Of compute, among which budgets are chosen.
_GRID = 1_000


@dataclasses.dataclass(frozen=True)
class Budget:
    """Attributes:
    compute: spent by each run.
    size_R: parameters of the runs that were trained with as much, in rising order.
    loss_R: of each, between the two points around the budget.
    parabola: coefficients of loss over log(size), the highest power first.
    """

    compute: float
    size_R: np.ndarray
    loss_R: np.ndarray
    parabola: np.ndarray

    @property
    def best_size(self) -> float | None:
        """Parameters at the lowest point; None if there is none between the least and the largest size."""
        curvature, slope, _ = self.parabola
        if curvature <= 0:
            return None
        lowest = -slope / (2 * curvature)
        inside = np.log(self.size_R[0]) <= lowest <= np.log(self.size_R[-1])
        return float(np.exp(lowest)) if inside else None

    @property
    def best_loss(self) -> float:
        """Loss at the lowest point."""
        curvature, slope, height = self.parabola
        return float(height - slope**2 / (4 * curvature))


@dataclasses.dataclass(frozen=True)
class IsoFlop:
    """Attributes:
    budgets: with a lowest point between their sizes.
    passed_over: compute of those without.
    size: parameters of the best run over compute.
    loss: of the best run over compute.
    """

    budgets: tuple[Budget, ...]
    passed_over: tuple[float, ...]
    size: PowerLaw
    loss: PowerLaw


def isoflop(curves: Sequence[Points], sizes: Sequence[int], count: int) -> IsoFlop:
    """Returns the best sizes at `count` budgets, evenly spread over where three sizes have been measured.

    Args:
      curves: of runs.
      sizes: parameters of each.
      count: budgets.

    Raises:
      DataError: if there are too few runs, too little that they share, or too few budgets with a lowest point.
    """
    first = np.array([points.compute_P.min() for points in curves])
    last = np.array([points.compute_P.max() for points in curves])
    if len(set(sizes)) < _SIZES:
        raise DataError(f"IsoFLOP wants runs of {_SIZES} sizes or more, and these have {len(set(sizes))}")
    grid = np.geomspace(first.min(), last.max(), _GRID)
    spanned = [
        compute
        for compute in grid
        if len({size for size, low, high in zip(sizes, first, last, strict=True) if low <= compute <= high})
        >= _SIZES
    ]
    if not spanned:
        raise DataError(
            f"IsoFLOP wants {_SIZES} sizes that were measured at the same compute; train small runs for longer or "
            "evaluate large ones earlier"
        )
    chosen = np.unique(np.linspace(0, len(spanned) - 1, count).astype(np.int64))
    budgets = [_budget(curves, sizes, float(spanned[index])) for index in chosen]
    kept = tuple(budget for budget in budgets if budget.best_size is not None)
    if len(kept) < _BUDGETS:
        raise DataError(
            f"IsoFLOP found a best size between the least and the largest for {len(kept)} of {len(budgets)} budgets, "
            f"and a law wants {_BUDGETS}; give runs of more sizes"
        )
    compute, size, loss = np.array([(one.compute, one.best_size, one.best_loss) for one in kept]).T
    passed_over = tuple(budget.compute for budget in budgets if budget.best_size is None)
    return IsoFlop(kept, passed_over, fit_power_law(compute, size), fit_power_law(compute, loss))


def _budget(curves: Sequence[Points], sizes: Sequence[int], compute: float) -> Budget:
    """Returns the runs that were measured on both sides of a budget, and their parabola."""
    pairs = [
        (size, float(np.exp(np.interp(np.log(compute), np.log(points.compute_P), np.log(points.loss_P)))))
        for points, size in zip(curves, sizes, strict=True)
        if points.compute_P[0] <= compute <= points.compute_P[-1]
    ]
    size_R, loss_R = np.array(sorted(pairs)).T
    return Budget(compute, size_R, loss_R, np.polyfit(np.log(size_R), loss_R, 2))
