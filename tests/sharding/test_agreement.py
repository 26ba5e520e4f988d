"""The protocol between processes, with the network replaced by a list; tests/test_loopback.py has real ones."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from jax.experimental import multihost_utils

from toto_jax.errors import DataError, JobError, StorageError
from toto_jax.sharding.agreement import fetch, is_first, on_all_processes, on_first_process


class Job:
    """Two processes, run one after the other: what the first sends, the second receives."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.index, self.sent = 0, []
        monkeypatch.setattr(jax, "process_count", lambda: 2)
        monkeypatch.setattr(jax, "process_index", lambda: self.index)
        monkeypatch.setattr(multihost_utils, "broadcast_one_to_all", self.broadcast)

    def broadcast(self, value: np.ndarray) -> np.ndarray:
        if self.index == 0:
            self.sent.append(np.array(value))
            return value
        arrived = self.sent.pop(0)
        assert np.shape(value) == arrived.shape
        return arrived

    def run(self, work: Callable[[], Any]) -> list[Any]:
        """Returns each process's result, or the error that it met."""
        found = []
        for self.index in (0, 1):
            try:
                found.append(on_first_process(work))
            except Exception as error:
                found.append(error)
        return found


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Job:
    return Job(monkeypatch)


def test_one_process_just_works() -> None:
    marker = object()
    assert is_first()
    assert on_first_process(lambda: marker) is marker


def test_work_is_done_once_and_known_to_all(job: Job) -> None:
    runs = []
    result = {"path": "/tmp/ä", "steps": [1, 2.5, None]}
    assert job.run(lambda: runs.append(job.index) or result) == [result, result]
    assert runs == [0]


@pytest.mark.parametrize("kind", [DataError, StorageError])
def test_an_error_of_ours_ends_all_alike(job: Job, kind: type[Exception]) -> None:
    def work() -> None:
        raise kind("no space")

    first, second = job.run(work)
    assert type(first) is type(second) is kind
    assert (str(first), str(second)) == ("no space", "Process 0: no space")


def test_an_error_of_others_ends_the_others_as_a_job_error(job: Job) -> None:
    def work() -> None:
        raise ZeroDivisionError("a bug")

    first, second = job.run(work)
    assert isinstance(first, ZeroDivisionError)
    assert isinstance(second, JobError)
    assert str(second) == "Process 0: a bug"


def test_arrays_come_back_whole() -> None:
    devices = jax.devices()[:4]
    mesh = jax.sharding.Mesh(np.array(devices), ("fsdp",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("fsdp"))
    array = jax.device_put(np.arange(8.0), sharding)
    got = fetch({"a": array})["a"]
    assert isinstance(got, np.ndarray)
    np.testing.assert_array_equal(got, np.arange(8.0))


def test_all_learn_of_one_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process runs twice: to be heard, and to hear what both have said."""
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    said: list[np.ndarray] = []

    def works() -> str:
        return "done"

    def fails() -> str:
        raise StorageError("ü" * 3000)

    monkeypatch.setattr(multihost_utils, "process_allgather", lambda row: said.append(row) or np.stack([row]))
    assert on_all_processes(works) == "done"
    with pytest.raises(StorageError):
        on_all_processes(fails)
    monkeypatch.setattr(multihost_utils, "process_allgather", lambda row: np.stack(said))
    with pytest.raises(StorageError, match="^Process 1: üüü"):
        on_all_processes(works)
    with pytest.raises(StorageError, match="^üüü"):
        on_all_processes(fails)
    said[1] = said[0]
    assert on_all_processes(works) == "done"
