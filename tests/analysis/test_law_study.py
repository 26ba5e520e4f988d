"""Laws of runs whose losses follow L = E + A N^-alpha + B D^-beta, so that the frontier's exponent is known:
with N D the compute, -alpha beta / (alpha + beta) above E (2203.15556, equation 4).
"""

import numpy as np
import pytest

from toto_jax.analysis.frontier import Points, frontier
from toto_jax.analysis.law_study import frontier_law, study

ALPHA, BETA = 0.34, 0.28
EXPONENT = -ALPHA * BETA / (ALPHA + BETA)


def runs(
    floor: float = 0.0, count: int = 7, noise: float = 0.0, seed: int = 0
) -> tuple[list[Points], list[int]]:
    random, curves = np.random.default_rng(seed), []
    sizes = [int(2e6 * 3**index) for index in range(count)]
    for size in sizes:
        codes = size * np.geomspace(0.5, 100, 30)
        loss = floor + 406.4 * size**-ALPHA + 410.7 * codes**-BETA
        scatter = np.exp(noise * random.standard_normal() + 0.2 * noise * random.standard_normal(30))
        curves.append(Points(size * codes, loss * scatter))
    return curves, sizes


@pytest.mark.parametrize(("floor", "form", "within"), [(0.0, "a C^b", 0.002), (1.69, "a C^b + c", 0.006)])
@pytest.mark.parametrize("noise", [0.0, 0.003])
def test_planted_exponents_come_out_within_their_intervals(
    floor: float, form: str, within: float, noise: float
) -> None:
    found = study(*runs(floor, noise=noise), budgets=8, draws=60)
    one = found.laws[form]
    assert one.law.b == pytest.approx(EXPONENT, abs=within + 3 * noise)
    low, high = one.interval("b")
    assert low < EXPONENT < high
    low, high = one.interval("c")
    assert low <= floor <= high
    if noise == 0:
        assert found.best_size.law.b == pytest.approx(BETA / (ALPHA + BETA), abs=0.03)


def test_a_law_without_a_floor_is_told_from_one_with() -> None:
    """A straight line is a bad fit to a law with a floor: its error is much larger."""
    laws = study(*runs(1.69), budgets=8, draws=20).laws
    assert laws["a C^b"].error > 2 * laws["a C^b + c"].error
    assert laws["a C^b"].law.b > EXPONENT + 0.03


def test_intervals_hold_the_truth_as_often_as_they_say_or_more() -> None:
    """90% of them should; of 30, fewer than 22 would be a chance of 1 in 500. A third of the width would not do."""
    inside, narrow = 0, 0
    for seed in range(30):
        curves, _ = runs(count=6, noise=0.04, seed=seed)
        one = frontier_law(curves, frontier(curves), floor=False, draws=40)
        low, high = one.interval("b")
        middle, third = (low + high) / 2, (high - low) / 6
        inside += low <= EXPONENT <= high
        narrow += abs(EXPONENT - middle) <= third
    assert inside >= 22
    assert narrow <= 27


def test_the_same_runs_give_the_same_intervals_and_bands_hold_the_law() -> None:
    first, second = (study(*runs(noise=0.01), budgets=8, draws=40).laws["a C^b"] for _ in range(2))
    assert first.interval("b") == second.interval("b")
    x = np.geomspace(1e14, 1e18, 5)
    low, high = first.band(x)
    assert (low < high).all()
    assert ((low < first.law(x)) & (first.law(x) < high)).all()


def test_too_few_runs_say_so_and_give_what_they_can() -> None:
    two = study(*runs(count=2), budgets=8, draws=20)
    assert two.laws["a C^b"].interval("b") is None
    assert two.isoflop is None
    assert any("2 runs hold the frontier" in problem for problem in two.problems)
    assert any("3 sizes or more" in problem for problem in two.problems)
    curves, sizes = runs(count=3)
    apart = study(
        [curves[0], Points(curves[1].compute_P, 2 * curves[1].loss_P)], sizes[:2], budgets=8, draws=20
    )
    assert apart.frontier is None
    assert not apart.laws
    assert any("One run has the least loss" in problem for problem in apart.problems)
