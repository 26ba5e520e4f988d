import numpy as np
import pytest

from toto_jax.analysis.frontier import Points, frontier
from toto_jax.errors import DataError


def points(*pairs: tuple[float, float]) -> Points:
    return Points(*(np.array(values, np.float64) for values in zip(*pairs, strict=True)))


def test_the_frontier_by_hand() -> None:
    """Small leads up to (3, 5), middle with (4, 4.5) and (8, 3), large from (9, 2.9). What no run is undercut in."""
    small = points((1, 9), (2, 6), (3, 5), (4, 4.8), (5, 4.7))
    middle = points((2, 8), (4, 4.5), (8, 3), (12, 2.95))
    large = points((4, 7), (9, 2.9), (20, 2), (30, 1.5))
    found = frontier([small, middle, large])
    assert found.run_F.tolist() == [0, 1, 1, 2]
    assert found.compute_F.tolist() == [3, 4, 8, 9], "not where only the smallest or only the largest leads"
    assert found.loss_F.tolist() == [5, 4.5, 3, 2.9]


def test_a_run_that_was_just_not_looked_at_leads_all_the_same() -> None:
    """On logarithmic axes the small run is at 8 / sqrt(4) = 4 where the large one's first point is 5."""
    small, large = points((1, 8), (16, 2), (30, 1.9)), points((4, 5), (20, 1.8), (40, 1))
    found = frontier([small, large])
    assert (found.run_F.tolist(), found.loss_F.tolist()) == ([0, 1], [2, 1.8])


def test_one_point_of_each_run_is_enough() -> None:
    found = frontier([points((1, 4)), points((10, 3)), points((100, 2.5)), points((50, 3.5))])
    assert found.run_F.tolist() == [0, 1, 2]


def test_without_a_change_of_the_lead_there_is_none() -> None:
    with pytest.raises(DataError, match="One run has the least loss at every compute"):
        frontier([points((1, 2), (3, 1)), points((2, 5), (4, 4))])
