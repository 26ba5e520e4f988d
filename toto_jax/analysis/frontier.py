"""The compute-efficient frontier: the least loss that any run has reached with so much compute or less.

Of all measured points those are kept that none with as little compute undercuts, and no run that was measured before
and after so much compute: between its points a run is a line on logarithmic axes, or the first point of a large run
would beat a small one that was just not looked at there. The run that holds the frontier changes on the way, from small
ones to large ones. Kept is what lies from the last point before the first change to the
first point after the last: before, only the smallest run leads, and after, only the largest, so nothing says that a run
of another size would not do better there.

Shapes: P points of a run, F points of the frontier.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from toto_jax.errors import DataError


class Points(NamedTuple):
    """One run: loss_P, positive, after compute_P."""

    compute_P: np.ndarray
    loss_P: np.ndarray


class Frontier(NamedTuple):
    """In order of compute; run_F counts the runs that were given."""

    run_F: np.ndarray
    compute_F: np.ndarray
    loss_F: np.ndarray


def frontier(curves: Sequence[Points]) -> Frontier:
    """Returns the frontier of some runs.

    Raises:
      DataError: if one run leads from the first point to the last.
    """
    run = np.concatenate([np.full(len(points.loss_P), index) for index, points in enumerate(curves)])
    compute, loss = (np.concatenate(values) for values in zip(*curves, strict=True))
    order = np.lexsort((loss, compute))
    run, compute, loss = run[order], compute[order], loss[order]
    between = np.array([_between(points, compute) for points in curves]).min(axis=0)
    leads = (loss < np.minimum.accumulate(np.concatenate([[np.inf], loss[:-1]]))) & (loss <= between)
    run, compute, loss = run[leads], compute[leads], loss[leads]
    changes = np.flatnonzero(run[1:] != run[:-1])
    if not len(changes):
        raise DataError(
            "One run has the least loss at every compute, so there is no frontier between sizes; "
            "train the others for as much compute, or give runs of other sizes"
        )
    kept = slice(changes[0], changes[-1] + 2)
    return Frontier(run[kept], compute[kept], loss[kept])


def _between(points: Points, compute: np.ndarray) -> np.ndarray:
    """Returns a run's loss between its points, a little above what rounding may take away; infinite outside of them."""
    known = np.interp(
        np.log(compute), np.log(points.compute_P), np.log(points.loss_P), left=np.inf, right=np.inf
    )
    return np.exp(known) * (1 + 1e-9)
