"""Which end is followed by which: the table of exit codes, the two budgets, the pauses."""

import random

import pytest

from launch.retry import Budgets, Ended, judge, pause, worst
from toto_jax.errors import ConfigError

BUDGETS = Budgets(preemptions=-1, failures=3)


def ends(*pairs: tuple[int, int | None]) -> list[Ended]:
    return [Ended(code, step) for code, step in pairs]


@pytest.mark.parametrize(
    ("code", "again", "state"),
    [
        (0, False, "done"),
        (42, True, "preempted"),
        (44, True, "preempted"),
        (64, False, "config error"),
        (65, False, "data error"),
        (66, False, "no checkpoint"),
        (67, False, "diverged"),
        (73, False, "disk full"),
        (1, True, "failed"),
        (134, True, "failed"),
        (137, True, "failed"),
        (143, True, "failed"),
    ],
)
def test_each_exit_code(code: int, again: bool, state: str) -> None:
    verdict = judge(ends((code, 5)), BUDGETS)
    assert (verdict.again, verdict.state) == (again, state)


def test_preemptions_are_no_failures() -> None:
    history = ends(*[(42, 7)] * 50, (1, 8), (44, 9), (134, 10), (42, 10), (137, 11))
    assert judge(history, BUDGETS).again
    over = judge([*history, *ends((1, 12))], BUDGETS)
    assert (over.again, over.state) == (False, "gave up")
    assert "failed 4 times" in over.reason


def test_processes_that_lose_each_other_without_a_step_are_failures() -> None:
    """A closed port would cost all nodes the wait, attempt after attempt."""
    history = ends((44, 0), (44, 0), (44, 0), (44, 0))
    for count in range(1, 5):
        assert judge(history[:count], BUDGETS).again
    over = judge([*history, *ends((44, 0))], BUDGETS)
    assert (over.again, over.state) == (False, "gave up")
    assert over.reason == "failed 4 times, last with exit code 44; --failures=3"
    assert judge(ends(*[(44, step) for step in range(50)]), BUDGETS).again, "a step in between is enough"
    assert judge(ends(*[(44, None)] * 50), BUDGETS).again, "a log out of sight says nothing of progress"
    assert judge(ends(*[(42, 7)] * 50), BUDGETS).again, "who was asked to stop has not failed"
    assert judge(ends((134, 5), (44, 5)), BUDGETS).again, "it is no second crash at the step"
    assert not judge(ends((134, 5), (44, 5), (1, 5)), BUDGETS).again
    assert not judge(ends((42, 5), (44, 5)), Budgets(preemptions=-1, failures=0)).again


def test_preemptions_have_a_budget_of_their_own() -> None:
    few = Budgets(preemptions=2, failures=0)
    assert judge(ends((42, 1), (44, 2)), few).again
    over = judge(ends((42, 1), (44, 2), (42, 3)), few)
    assert not over.again
    assert "preempted 3 times; --preemptions=2" in over.reason


def test_two_failures_at_one_step_stop_a_member() -> None:
    verdict = judge(ends((134, 5), (42, 5), (1, 5)), BUDGETS)
    assert not verdict.again
    assert verdict.reason == "failed twice at step 5 (exit codes 134 and 1)"
    assert judge(ends((134, 5), (1, 6)), BUDGETS).again
    assert judge(ends((134, None), (1, None)), BUDGETS).again, "a log out of sight says nothing of progress"


def test_pauses_double_while_nothing_moves_and_are_bounded() -> None:
    def bounds(history: list[Ended]) -> tuple[float, float]:
        drawn = [pause(history, random.Random(seed)) for seed in range(200)]
        return min(drawn), max(drawn)

    for still, longest in ((1, 10), (2, 20), (4, 80), (20, 600)):
        low, high = bounds(ends(*[(44, 3)] * still))
        assert longest / 2 <= low < 0.55 * longest
        assert 0.95 * longest < high <= longest
    assert bounds(ends((44, 3), (44, 3), (44, 4)))[1] <= 10, "progress begins anew"


@pytest.mark.parametrize(
    ("codes", "told"),
    [((0, 0), 0), ((0, 42), 42), ((44, 137), 137), ((44, 1, 67), 67), ((65, 65), 65), ((42, 0, 1), 1)],
)
def test_of_several_processes_the_code_that_says_most(codes: tuple[int, ...], told: int) -> None:
    assert worst(codes) == told


def test_budgets_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="--preemptions=-2"):
        Budgets(-2, 3)
