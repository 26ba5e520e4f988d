"""Conventions against numbers read off the paper's Figure 9 and out of GPT-3's paper."""

import numpy as np
import pytest

from toto_jax.analysis.compute import CONVENTIONS, gpt3_law, paper_law


@pytest.mark.parametrize(("name", "coefficient"), [("paper", 12.34), ("macs", 16.9), ("flops", 18.08)])
def test_the_papers_law_in_each_convention(name: str, coefficient: float) -> None:
    """7.32 belongs to MACs of its axis over 1e6; a whole sequence takes 4,096 times that, training 6 times more."""
    law = paper_law(np.array([1.0, 1e10]), CONVENTIONS[name])
    assert law[0] == pytest.approx(coefficient, rel=2e-3)
    assert law[1] / law[0] == pytest.approx(10**-0.378)


def test_the_papers_law_runs_through_the_ends_of_its_dashed_line() -> None:
    drawn = paper_law(np.array([2.571e13, 1.054e17]), CONVENTIONS["paper"])
    np.testing.assert_allclose(drawn, [3.843, 2.807], rtol=2e-3)


@pytest.mark.parametrize("name", ["macs", "flops", "paper"])
def test_gpt3_law_is_2_57_at_a_petaflop_day(name: str) -> None:
    flops = 8.64e19
    compute = CONVENTIONS[name].of(flops / 6, 4_096)
    assert gpt3_law(np.array([compute]), CONVENTIONS[name])[0] == pytest.approx(2.57)


def test_conventions_count_one_run_in_three_ways() -> None:
    """A sequence of 10 tokens that takes 1,000 MACs: 6,000 training FLOPs, and 100 on the paper's axis."""
    counted = {name: one.of(1_000.0, 10) for name, one in CONVENTIONS.items()}
    assert counted == {"macs": 1_000, "flops": 6_000, "paper": 100}
    assert all(one.macs(counted[name], 10) == 1_000 for name, one in CONVENTIONS.items())
