"""Contestants as real processes: warm, told when to run, or left out with a word."""

import os
import pathlib
import time
from typing import Any

import pytest

from benchmarks.bench import Bench
from benchmarks.worker import PLAIN, Failed, Worker
from toto_jax.command_line import KEPT_MEMORY

HERE = "tests.benchmarks.test_worker"


def counting(start: int) -> tuple[dict[str, Any], Any]:
    """A contestant that says how often it ran, in a process of its own."""
    calls = start

    def work() -> dict[str, float]:
        nonlocal calls
        calls += 1
        print("noise, which must not be taken for an answer")
        time.sleep(0.01)
        return {"calls": calls}

    return {"process": os.getpid(), "allocator": os.environ["GLIBC_TUNABLES"]}, work


def lacking() -> None:
    import a_package_that_nobody_has  # noqa: F401


def broken() -> None:
    raise ValueError("no such thing")


def test_a_worker_is_warm_and_keeps_its_state(tmp_path: pathlib.Path) -> None:
    with Worker(f"{HERE}:counting", {"start": 5}, tmp_path / "log") as worker:
        assert worker.facts["process"] != os.getpid()
        assert worker.facts["allocator"] == KEPT_MEMORY
        samples = [worker.round() for _ in range(2)]
        # 6 was the round that warms up.
        assert [sample.extra["calls"] for sample in samples] == [7, 8]
        assert all(0.01 <= sample.seconds < 5 for sample in samples)
    assert "noise" in (tmp_path / "log").read_text()


def test_the_environment_is_the_contestants_own(tmp_path: pathlib.Path) -> None:
    with Worker(f"{HERE}:counting", {"start": 0}, tmp_path / "log", PLAIN) as worker:
        assert worker.facts["allocator"] == ""


def test_a_worker_that_fails_says_why(tmp_path: pathlib.Path) -> None:
    with pytest.raises(Failed, match="ValueError: no such thing"):
        Worker(f"{HERE}:broken", {}, tmp_path / "log")


def test_a_missing_package_leaves_a_contestant_out_with_a_word(tmp_path: pathlib.Path) -> None:
    with Bench(tmp_path, rounds=2, smoke=True) as bench:
        assert bench.add("ours", f"{HERE}:counting", start=0)
        assert not bench.add("theirs", f"{HERE}:lacking")
        samples = bench.run()
    assert set(samples) == {"ours"}
    assert bench.notes[0] == "theirs is left out: the package a_package_that_nobody_has is not installed."


def test_only_some_contestants(tmp_path: pathlib.Path) -> None:
    with Bench(tmp_path, rounds=1, smoke=True, only=["theirs"]) as bench:
        assert bench.add("ours", f"{HERE}:counting", needed=True, start=0)
        assert not bench.add("others", f"{HERE}:counting", start=0)


def test_the_faster_allocator_takes_part_and_both_are_noted(tmp_path: pathlib.Path) -> None:
    with Bench(tmp_path, rounds=1, smoke=True) as bench:
        assert bench.add_faster("torch", f"{HERE}:counting", start=0)
        assert set(bench.run()) == {"torch"}
    assert "with our setting of glibc's allocator and" in bench.notes[0]
