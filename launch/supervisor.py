"""Keeps members going from this machine: so many at once, each again by its exit code, until all are done or given up.

It may be killed at any time and started again: attempts live on without it, and it finds them by their locks.
"""

import contextlib
import dataclasses
import os
import pathlib
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from launch import attempts, locks
from launch.actions import Attempts
from launch.journal import note
from launch.retry import Verdict, judge, pause, worst
from toto_jax.errors import ConfigError, DivergedError, Preempted

if TYPE_CHECKING:
    from launch.launching import Launch
    from launch.members import Member

LOCK = "launcher.json"
_SHOWN_LINES = 15


class Process(Protocol):
    """What is needed of a started attempt."""

    def poll(self) -> int | None: ...


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """What a test replaces.

    Attributes:
      spawn: starts a command whose own words go to the given file.
      clock: seconds.
      sleep: waits.
      draw: randomness of pauses.
    """

    spawn: Callable[[Sequence[str], pathlib.Path], Process]
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    draw: random.Random


def spawn(argv: Sequence[str], log: pathlib.Path) -> Process:
    """Starts an attempt that lives on when this process ends."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
            cwd=pathlib.Path(__file__).resolve().parents[1],
        )  # fmt: skip


REAL = Surroundings(spawn, time.monotonic, time.sleep, random.Random())


class Supervisor:
    """The members of a launch, while it goes on.

    Args:
      launch: whose members.
      action: their commands, and how many at once.
      say: takes lines for people.
      around: time and processes.
    """

    def __init__(
        self, launch: "Launch", action: Attempts, say: Callable[[str], None], around: Surroundings = REAL
    ):
        self._launch, self._action, self._say, self._around = launch, action, say, around
        self.verdicts: dict[str, Verdict] = {}
        self._due: dict[str, float] = {}  # members that wait, and until when
        self._running: dict[str, tuple[Process | None, int]] = {}  # with the number of attempts before
        for member in launch.members:
            self._look_at(member)

    def _look_at(self, member: "Member") -> None:
        folder = self._launch.folder(member)
        if attempts.runs(folder):
            self._say(f"{member.name} still runs")
            self._running[member.name] = (None, attempts.count(folder) - 1)
        elif (folder / attempts.DONE).exists():
            self.verdicts[member.name] = Verdict(False, "done")
        elif attempts.last_code(folder) == DivergedError.exit_code:
            self._say(f"{member.name} has diverged before and is left alone")
            self.verdicts[member.name] = Verdict(False, "diverged")
        else:
            self._due[member.name] = 0.0

    @property
    def members(self) -> dict[str, "Member"]:
        return {member.name: member for member in self._launch.members}

    def run(self, stopping: Callable[[], bool]) -> None:
        """Goes on until every member has its verdict, or somebody wants to stop."""
        while (self._running or self._due) and not stopping():
            self.tick()
            if self._running or self._due:
                self._around.sleep(0.2)

    def tick(self) -> None:
        """Sees who has ended, and starts whose turn it is."""
        for name, (process, before) in list(self._running.items()):
            folder = self._launch.folder(self.members[name])
            if (process is None or process.poll() is not None) and not attempts.runs(folder):
                del self._running[name]
                self._judge(name, process, before)
        now = self._around.clock()
        for name in [name for name, due in self._due.items() if due <= now]:
            if len(self._running) >= self._action.parallel:
                break
            del self._due[name]
            self._start(name)

    def _start(self, name: str) -> None:
        folder, argv = self._launch.folder(self.members[name]), self._action.commands[name]
        before = attempts.count(folder)
        note(self._launch.workdir, "start", member=name, attempt=before + 1, argv=list(argv))
        self._running[name] = (self._around.spawn(argv, folder / "logs" / "launch.log"), before)
        self._say(f"{name}: attempt {before + 1} started")

    def _judge(self, name: str, process: Process | None, before: int) -> None:
        folder = self._launch.folder(self.members[name])
        if attempts.count(folder) == before:
            code = process.poll() if process else None
            reason = (
                f"the attempt could not begin (exit code {code}); {folder / 'logs' / 'launch.log'} says why"
            )
            verdict = Verdict(False, "gave up", reason)
        else:
            history = attempts.history(folder)
            code, verdict = history[-1].code, judge(history, self._launch.budgets)
        note(self._launch.workdir, "end", member=name, code=code, state=verdict.state, reason=verdict.reason)
        because = f": {verdict.reason}" if verdict.reason else ""
        if verdict.again:
            wait = pause(attempts.history(folder), self._around.draw)
            self._due[name] = self._around.clock() + wait
            self._say(f"{name}: {verdict.state}{because}; again in {wait:.0f} s")
            return
        self.verdicts[name] = verdict
        self._say(f"{name}: {verdict.state}{because}")
        log = attempts.last_log(folder)
        if verdict.state != "done" and log is not None and log.exists():
            lines = log.read_text(errors="replace").splitlines()[-_SHOWN_LINES:]
            self._say("\n".join([f"  {log} ends:", *(f"  | {line}" for line in lines)]))

    def stop(self) -> list[str]:
        """Tells all that run to save and end, kills what doesn't in time, and returns their names."""
        return stop_members([self.members[name] for name in self._running], self._launch)


def stop_members(members: Sequence["Member"], launch: "Launch") -> list[str]:
    """Tells members that run here to save and end, and kills those that don't in time.

    Returns:
      The names of those that ran.
    """
    found = [member for member in members if attempts.runs(launch.folder(member))]
    for member in found:
        locks.tell(attempts.lock_of(launch.folder(member)), signal.SIGTERM)
        note(launch.workdir, "stop", member=member.name)
    # An attempt kills its own processes after the grace; this is for those whose attempt is gone.
    deadline = time.monotonic() + launch.grace_seconds + 10
    for member in found:
        lock = attempts.lock_of(launch.folder(member))
        if not locks.wait_until_free(lock, deadline - time.monotonic()):
            locks.tell(lock, signal.SIGKILL)
    return [member.name for member in found]


def supervise(launch: "Launch", action: Attempts, say: Callable[[str], None]) -> int:
    """Runs a plan's attempts to their ends.

    Returns:
      0 if all members are done; else the exit code that says most, where a diverged member of a sweep is a result.

    Raises:
      ConfigError: if another launcher is at work in the workdir.
      Preempted: if this one is told to stop; its members have saved then.
    """
    asked: list[int] = []
    with _only_launcher(launch.workdir):
        before = {
            number: signal.signal(number, lambda number, frame: asked.append(number))
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            supervisor = Supervisor(launch, action, say)
            supervisor.run(lambda: bool(asked))
            if asked:
                say("Stopping: members are told to save")
                stopped = supervisor.stop()
                raise Preempted(
                    f"Stopped {len(stopped)} member(s); python -m launch.resume --workdir={launch.workdir} goes on"
                )
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    ends = {name: verdict.state for name, verdict in supervisor.verdicts.items()}
    say(", ".join(f"{list(ends.values()).count(state)} {state}" for state in sorted(set(ends.values()))))
    bad = [member for member in launch.members if ends[member.name] != "done"]
    if len(launch.members) > 1:
        bad = [member for member in bad if ends[member.name] != "diverged"]
    return worst([attempts.last_code(launch.folder(member)) or 1 for member in bad]) if bad else 0


def stop_here(launch: "Launch") -> list[str]:
    """Stops what a launch runs on this machine: its launcher, if one is at work, and all members.

    Returns:
      The names of the members that ran.
    """
    found = [member.name for member in launch.members if attempts.runs(launch.folder(member))]
    lock = launch.workdir / LOCK
    locks.tell(lock, signal.SIGTERM)
    locks.wait_until_free(lock, launch.grace_seconds + 20)
    stop_members(launch.members, launch)
    return found


@contextlib.contextmanager
def _only_launcher(workdir: pathlib.Path) -> Iterator[None]:
    descriptor = locks.hold(workdir / LOCK)
    if descriptor is None:
        raise ConfigError(
            f"Another launcher is at work in {workdir}; see python -m launch.status, or end it with launch.stop"
        )
    try:
        locks.sign(descriptor)
        yield
    finally:
        os.close(descriptor)
