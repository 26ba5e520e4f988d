import numpy as np
import pytest

from toto_jax.analysis.frontier import Points
from toto_jax.analysis.isoflop import isoflop
from toto_jax.errors import DataError

SIZES = [int(size) for size in np.geomspace(1e6, 1e8, 9)]


def family(sizes: list[int], low: float = 1e14, high: float = 1e18) -> list[Points]:
    """Runs whose loss is a parabola over log(size) at each compute, lowest at 3 C^0.4: 20 C^-0.05 there."""
    compute = np.geomspace(low, high, 400)
    return [
        Points(compute, 20 * compute**-0.05 + 0.01 * np.log(size / (3 * compute**0.4)) ** 2) for size in sizes
    ]


def test_a_planted_family_comes_out() -> None:
    found = isoflop(family(SIZES), SIZES, 8)
    assert (found.size.a, found.size.b) == (pytest.approx(3, rel=0.02), pytest.approx(0.4, abs=5e-4))
    assert (found.loss.a, found.loss.b) == (pytest.approx(20, rel=0.01), pytest.approx(-0.05, abs=2e-4))
    assert len(found.budgets) == 8


def test_budgets_whose_best_size_was_not_trained_are_passed_over() -> None:
    """The best would be 2e5 at 1e12 and 3e8 at 1e20: below and above all sizes."""
    found = isoflop(family(SIZES, 1e12, 1e20), SIZES, 9)
    kept = [budget.compute for budget in found.budgets]
    assert min(found.passed_over) < min(kept) <= max(kept) < max(found.passed_over)
    assert found.size.b == pytest.approx(0.4, abs=5e-4)


@pytest.mark.parametrize(
    ("sizes", "change", "message"),
    [
        (SIZES[:2], 1.0, "wants runs of 3 sizes or more, and these have 2"),
        (SIZES[:3], 1e6, "3 sizes that were measured at the same compute"),
        ([10**9, 2 * 10**9, 4 * 10**9], 1.0, "for 0 of 8 budgets"),
    ],
)
def test_what_is_missing_is_said(sizes: list[int], change: float, message: str) -> None:
    curves = [
        Points(points.compute_P * change**index, points.loss_P) for index, points in enumerate(family(sizes))
    ]
    with pytest.raises(DataError, match=message):
        isoflop(curves, sizes, 8)
