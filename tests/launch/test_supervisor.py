"""Members are kept going through exits, kills of theirs and of the launcher, and never run twice."""

import ast
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from launch import attempts, locks
from launch.journal import read_journal
from launch.launching import begin_anew, load_launch
from launch.local import stop
from launch.supervisor import LOCK, Supervisor, Surroundings, spawn, supervise
from launch.table import table
from tests.launch.dummy_launch import dummy_launch
from toto_jax.errors import ConfigError

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Time:
    """A clock on which pauses pass quickly while processes run as they do."""

    now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += 50 * seconds
        time.sleep(0.01)

    @property
    def around(self) -> Surroundings:
        return Surroundings(spawn, lambda: self.now, self.sleep, random.Random(0))


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def launcher(tmp_path: pathlib.Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts launchers as processes; what is left of their members is killed at the end."""
    started = []

    def start(*words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.launch.dummy_launch", str(tmp_path), *words]
        process = subprocess.Popen(
            command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
    for lock in tmp_path.glob("*/running.json"):
        locks.tell(lock, signal.SIGKILL)


def codes(workdir: pathlib.Path, member: str) -> list[int]:
    return [ended.code for ended in attempts.history(workdir / member)]


def test_a_trainer_that_is_preempted_crashes_and_fails_is_brought_to_its_end(tmp_path: pathlib.Path) -> None:
    launch, action = dummy_launch(tmp_path, {"a": "42 -6 1 0"}, 1)
    said: list[str] = []
    supervisor = Supervisor(launch, action, said.append, Time().around)
    supervisor.run(lambda: False)
    assert supervisor.verdicts["a"].state == "done"
    assert codes(tmp_path, "a") == [42, 134, 1, 0]
    assert json.loads((tmp_path / "a" / "DONE").read_text()) == {"code": 0, "step": 4}
    log = tmp_path / "a" / "logs" / "attempt-003" / "process-0.log"
    assert log.read_text().startswith("turn 2")
    journal = read_journal(tmp_path)
    assert [(line["action"], line.get("code")) for line in journal] == [
        ("start", None), ("end", 42), ("start", None), ("end", 134),
        ("start", None), ("end", 1), ("start", None), ("end", 0),
    ]  # fmt: skip
    assert journal[0]["argv"] == list(action.commands["a"])
    assert "a: preempted; again in " in said[1]


def test_a_diverged_member_is_recorded_and_the_others_go_on(tmp_path: pathlib.Path) -> None:
    turns = {"hot": "67", "stuck": "1@5", "refused": "64", "good": "0"}
    launch, action = dummy_launch(tmp_path, turns, 2)
    said: list[str] = []
    supervisor = Supervisor(launch, action, said.append, Time().around)
    supervisor.run(lambda: False)
    states = {name: verdict.state for name, verdict in supervisor.verdicts.items()}
    assert states == {"hot": "diverged", "stuck": "gave up", "refused": "config error", "good": "done"}
    assert codes(tmp_path, "stuck") == [1, 1]
    assert any("stuck: gave up: failed twice at step 5" in line for line in said)
    assert any("attempt-001/process-0.log ends:\n  | turn 0" in line for line in said)
    shown = table(load_launch(tmp_path)).splitlines()
    assert shown[0].split() == ["member", "state", "attempt", "step", "loss", "per", "second", "left"]
    assert shown[1].split() == ["hot", "diverged", "1", "1/100", "2.5", "10", "-"]
    assert shown[2].split() == ["stuck", "gave", "up", "2", "5/100", "2.5", "10", "-"]
    assert shown[-1] == "1 config error, 1 diverged, 1 done, 1 gave up"
    # Launched again: what is done or diverged stays, the others have their budgets anew.
    begin_anew(launch)
    again = Supervisor(launch, action, said.append, Time().around)
    assert set(again.verdicts) == {"hot", "good"}
    again.run(lambda: False)
    assert attempts.count(tmp_path / "stuck") == 4
    assert attempts.count(tmp_path / "hot") == attempts.count(tmp_path / "good") == 1


def test_no_more_run_at_once_than_allowed(tmp_path: pathlib.Path) -> None:
    launch, action = dummy_launch(tmp_path, {name: "0" for name in "abcd"}, 2)
    running: set[str] = set()
    most = 0

    class Watched:
        """An attempt that ends when it is looked at for the third time."""

        def __init__(self, name: str):
            self.name, self.looks = name, 0

        def poll(self) -> int | None:
            self.looks += 1
            if self.looks < 3:
                return None
            running.discard(self.name)
            folder = tmp_path / self.name
            if attempts.count(folder) == 0:
                attempts.end(folder, attempts.begin(folder), 0, 1)
            return 0

    def watched(argv: list[str], log: pathlib.Path) -> Watched:
        nonlocal most
        running.add(log.parents[1].name)
        most = max(most, len(running))
        return Watched(log.parents[1].name)

    around = Surroundings(watched, lambda: 0.0, lambda seconds: None, random.Random(0))
    supervisor = Supervisor(launch, action, lambda line: None, around)
    supervisor.run(lambda: False)
    assert most == 2
    assert all(verdict.state == "done" for verdict in supervisor.verdicts.values())


def test_a_killed_launcher_finds_its_members_again(
    tmp_path: pathlib.Path, launcher: Callable[..., subprocess.Popen[str]]
) -> None:
    words = ("1", "a=wait", "b=0")
    first = launcher(*words)
    until((tmp_path / "a" / "ready").exists)
    rival = launcher(*words)
    assert rival.wait(timeout=20) != 0
    assert "Another launcher is at work" in rival.communicate()[0]
    first.kill()
    first.wait()
    assert attempts.runs(tmp_path / "a"), "members outlive the launcher"
    second = launcher(*words)
    assert second.stdout.readline() == "a still runs\n"
    locks.tell(attempts.lock_of(tmp_path / "a"), signal.SIGTERM)
    until(lambda: "preempted" in second.stdout.readline())
    assert second.stdout.readline() == "b: attempt 1 started\n"
    until(lambda: (tmp_path / "b" / "DONE").exists())
    assert attempts.count(tmp_path / "a") == 1


def test_stop_lets_members_save_and_the_launcher_end(
    tmp_path: pathlib.Path, launcher: Callable[..., subprocess.Popen[str]]
) -> None:
    process = launcher("2", "a=wait", "b=wait", "c=0")
    until(lambda: all((tmp_path / name / "ready").exists() for name in "ab"))
    assert stop(load_launch(tmp_path)) == ["a", "b"]
    assert process.wait(timeout=20) != 0
    assert "Stopped 2 member(s); python -m launch.resume" in process.communicate()[0]
    assert codes(tmp_path, "a") == codes(tmp_path, "b") == [42]
    assert attempts.count(tmp_path / "c") == 0
    assert not locks.is_held(tmp_path / LOCK)
    assert stop(load_launch(tmp_path)) == []


def test_an_orphaned_trainer_still_counts_as_running(
    tmp_path: pathlib.Path, launcher: Callable[..., subprocess.Popen[str]]
) -> None:
    """The attempt that would have known the exit code is killed, its trainer lives: no second one may start."""
    launcher("1", "a=wait")
    until((tmp_path / "a" / "ready").exists)
    attempt = json.loads((tmp_path / "a" / "running.json").read_text())[0]
    os.kill(attempt["pid"], signal.SIGKILL)
    until(lambda: locks.start_time(attempt["pid"]) != attempt["started"])
    time.sleep(0.5)
    assert attempts.runs(tmp_path / "a")
    assert attempts.count(tmp_path / "a") == 1
    locks.tell(attempts.lock_of(tmp_path / "a"), signal.SIGTERM)
    until(lambda: any(line["action"] == "end" and line["code"] == 137 for line in read_journal(tmp_path)))


def test_who_only_looks_keeps_nobody_from_a_lock(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "running.json"
    path.touch()
    looked: list[bool] = []
    looking = threading.Event()

    def look() -> None:
        while not looking.wait(0.001):
            looked.append(locks.is_held(path))

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    taken = 0
    for _ in range(30):
        held = locks.hold(path)
        if held is not None:
            taken += 1
            time.sleep(0.005)
            os.close(held)
    looking.set()
    for thread in threads:
        thread.join()
    assert taken == 30
    assert any(looked)
    assert not locks.is_held(path)


def test_a_reused_process_id_is_not_mistaken(tmp_path: pathlib.Path) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        path = tmp_path / "a" / "running.json"
        held = locks.hold(path)
        path.write_text(json.dumps([{"pid": bystander.pid, "started": "1"}]))
        locks.tell(path, signal.SIGKILL)
        time.sleep(0.2)
        assert bystander.poll() is None
        os.close(held)
        path.write_text(json.dumps([{"pid": bystander.pid, "started": locks.start_time(bystander.pid)}]))
        assert not attempts.runs(tmp_path / "a"), "the lock says who runs, not the id"
    finally:
        bystander.kill()
        bystander.wait()


def test_what_does_not_listen_is_killed(
    tmp_path: pathlib.Path, launcher: Callable[..., subprocess.Popen[str]]
) -> None:
    launch, action = dummy_launch(tmp_path, {"a": "deaf"}, 1, grace=0.3)
    process = spawn(action.commands["a"], tmp_path / "log")
    until((tmp_path / "a" / "ready").exists)
    assert stop(launch) == ["a"]
    until(lambda: process.poll() is not None)
    assert codes(tmp_path, "a") == [137]


def test_processes_of_one_member_know_each_other_and_end_together(tmp_path: pathlib.Path) -> None:
    launch, action = dummy_launch(tmp_path, {"a": "0"}, 1, processes=2)
    assert supervise(launch, action, lambda line: None) == 0
    logs = sorted((tmp_path / "a" / "logs" / "attempt-001").glob("*.log"))
    places = [ast.literal_eval(path.read_text().split(maxsplit=2)[2]) for path in logs]
    assert [place["JAX_PROCESS_ID"] for place in places] == ["0", "1"]
    assert len({place["JAX_COORDINATOR_ADDRESS"] for place in places}) == 1
    assert places[0]["JAX_NUM_PROCESSES"] == "2"


def test_a_sibling_that_hangs_is_killed_and_not_counted(tmp_path: pathlib.Path) -> None:
    launch, action = dummy_launch(tmp_path, {"a": "65 deaf"}, 1, grace=0.5, processes=2)
    command = action.commands["a"]
    assert spawn(command, tmp_path / "log").wait(timeout=20) == 65
    assert codes(tmp_path, "a") == [65]


def test_an_attempt_that_cannot_begin_is_given_up(tmp_path: pathlib.Path) -> None:
    launch, action = dummy_launch(tmp_path, {"a": "0"}, 1)
    action.commands["a"] = (sys.executable, "-c", "raise SystemExit(9)")
    supervisor = Supervisor(launch, action, lambda line: None, Time().around)
    supervisor.run(lambda: False)
    assert "could not begin (exit code 9)" in supervisor.verdicts["a"].reason


def test_a_program_that_is_not_there_is_said(tmp_path: pathlib.Path) -> None:
    launch, action = dummy_launch(tmp_path, {"a": "0"}, 1)
    action.commands["a"] = (*action.commands["a"][:-4], "pyhton")
    said: list[str] = []
    supervise(launch, action, said.append)
    assert codes(tmp_path, "a") == [64]
    assert any("There is no program 'pyhton' on this machine" in line for line in said)


def test_the_launchers_exit_code(tmp_path: pathlib.Path) -> None:
    diverged = dummy_launch(tmp_path / "one", {"a": "67", "b": "0"}, 2)
    assert supervise(*diverged, lambda line: None) == 0, "in a sweep that is a result"
    alone = dummy_launch(tmp_path / "two", {"a": "67"}, 1)
    assert supervise(*alone, lambda line: None) == 67
    bad = dummy_launch(tmp_path / "three", {"a": "65", "b": "0"}, 2)
    assert supervise(*bad, lambda line: None) == 65


def test_a_launcher_that_is_alone_may_begin(tmp_path: pathlib.Path) -> None:
    held = locks.hold(tmp_path / LOCK)
    with pytest.raises(ConfigError, match="Another launcher is at work"):
        supervise(*dummy_launch(tmp_path, {"a": "0"}, 1), lambda line: None)
    os.close(held)
    assert supervise(*dummy_launch(tmp_path, {"a": "0"}, 1), lambda line: None) == 0
