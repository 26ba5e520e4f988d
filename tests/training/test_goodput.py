import itertools
import subprocess
import sys
import time

import pytest

from toto_jax.training.goodput import BUCKETS, Goodput, recorded, seconds_since_start, shares


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that the test moves."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def test_buckets_add_up_and_steps_are_the_rest(clock: list[float]) -> None:
    goodput = Goodput()
    with goodput.spend("data"):
        clock[0] += 2
    clock[0] += 13
    with goodput.spend("evaluation"):
        clock[0] += 4
    goodput.add("compile", 3)
    clock[0] += 1
    seconds = goodput.seconds()
    assert set(seconds) == set(BUCKETS)
    assert seconds == {"step": 11, "compile": 3, "data": 2, "evaluation": 4, "checkpoint": 0, "restore": 0}
    assert goodput.summary() == "time: step 55.0% · evaluation 20.0% · compile 15.0% · data 10.0%"


def test_an_evaluation_that_fails_is_counted_all_the_same(clock: list[float]) -> None:
    goodput = Goodput()

    def fail() -> None:
        with goodput.spend("evaluation"):
            clock[0] += 4
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert goodput.seconds()["evaluation"] == 4


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says when a process started")
def test_the_start_is_that_of_the_process() -> None:
    code = (
        "import time; time.sleep(1.0)\n"
        "from toto_jax.training.goodput import seconds_since_start as since\n"
        "print(since())"
    )
    began = time.monotonic()
    printed = float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert 0.98 < printed < time.monotonic() - began + 0.1
    first, second = itertools.islice(iter(seconds_since_start, None), 2)
    assert first is not None
    assert second >= first


def test_attempts_are_summed_from_their_log(clock: list[float]) -> None:
    goodput = Goodput()
    with goodput.spend("data"):
        clock[0] += 1
    clock[0] += 3
    attempt = goodput.record()
    assert attempt == {**dict.fromkeys(attempt, 0), "step_seconds": 3, "data_seconds": 1}
    total = recorded([{"step": 500, "kind": "goodput", **attempt}] * 2)
    assert (total["step"], total["data"]) == (6, 2)
    assert shares(total) == "step 75.0% · data 25.0%"
