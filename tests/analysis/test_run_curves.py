import numpy as np
import pytest

from tests.analysis.curves import curve
from toto_jax.analysis.compute import CONVENTIONS
from toto_jax.analysis.run_curves import alike, for_a_law, thinned
from toto_jax.errors import DataError


def test_compute_of_a_run_by_hand() -> None:
    """30 steps of 4 sequences of 500 MACs, 10 tokens each."""
    run = curve("a", {30: 3.0})
    counted = {name: run.points(one).compute_P.tolist() for name, one in CONVENTIONS.items()}
    assert counted == {"macs": [60_000], "flops": [360_000], "paper": [6_000]}


def test_most_runs_decide_what_is_alike() -> None:
    runs = [curve("a", {}), curve("odd", {}, codes="8 codes"), curve("b", {})]
    kept, left_out = alike(runs, lambda run: run.codes)
    assert [run.name for run in kept] == ["a", "b"]
    assert left_out == {"odd": "it has 8 codes, most have 9 codes"}
    assert alike([], lambda run: run.codes) == ([], {})


def test_a_law_wants_two_runs_with_losses_that_compare() -> None:
    good = [curve("a", {100: 3.0}), curve("b", {100: 2.0})]
    bad = [
        curve("nothing", {}),
        curve("lost", {10: 9.0}, diverged=True),
        curve("odd", {100: 1.0}, codes="8 codes"),
    ]
    kept, left_out = for_a_law([*good, *bad], {"gone": "it has no config"})
    assert kept == good
    assert left_out == {
        "gone": "it has no config",
        "lost": "it diverged",
        "nothing": "it has logged no loss",
        "odd": "it has 8 codes, most have 9 codes",
    }
    with pytest.raises(DataError, match=r"Of these runs 1 can be used.*\n  nothing: it has logged no loss"):
        for_a_law([good[0], bad[0]], {})


def test_long_logs_become_means_of_stretches() -> None:
    steps, values = thinned(np.arange(1, 7), np.array([1.0, 3, 5, 7, 9, 11]), 3)
    assert (steps.tolist(), values.tolist()) == ([2, 4, 6], [2, 6, 10])
