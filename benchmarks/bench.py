"""One run of a script: its flags, its contestants, and what it leaves behind."""

import contextlib
import pathlib
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import flags

from benchmarks.table import Result, Row, write
from benchmarks.timing import Rounds, Sample, interleave, median_seconds, undisturbed
from benchmarks.worker import KEPT, PLAIN, Missing, Worker
from toto_jax.command_line import run_command

_OUT = flags.DEFINE_string("out", "runs/benchmarks", "Folder for <name>.json and <name>.md.")
_SMOKE = flags.DEFINE_bool("smoke", False, "Sizes of seconds: shows that it runs, measures nothing.")
_ROUNDS = flags.DEFINE_integer("rounds", 9, "Quiet rounds wanted; twice as many are tried.", lower_bound=1)
_ONLY = flags.DEFINE_list("only", [], "Parts of names: contestants without any of them are left out.")


class UnequalWork(Exception):
    """Contestants did not do the same work, so their times don't compare."""


class Bench(contextlib.AbstractContextManager["Bench"]):
    """The contestants of a run.

    Args:
      folder: for what they share; removed by the caller.
      rounds: quiet ones wanted.
      smoke: whether this is only a trial.
      only: parts of names; contestants without any are left out. Empty for all.
    """

    def __init__(self, folder: pathlib.Path, rounds: int, smoke: bool, only: Sequence[str] = ()):
        self.folder = folder
        self.smoke = smoke
        self.notes: list[str] = []
        self.samples: Rounds = {}  # of all sets of contestants, undisturbed or not
        self.facts: dict[str, Mapping[str, Any]] = {}
        self._rounds = rounds
        self._only = only
        self._workers: dict[str, Worker] = {}
        self._calls: dict[str, Callable[[], Sample]] = {}

    def add(
        self,
        name: str,
        factory: str,
        environment: Mapping[str, str] = KEPT,
        needed: bool = False,
        **settings: Any,
    ) -> bool:
        """Starts a contestant, or says why it doesn't take part. One that is needed can't be left out by `only`."""
        if self._only and not needed and not any(part in name for part in self._only):
            return False
        began = time.perf_counter()
        log = self.folder / f"{name.replace(' ', '_').replace('/', '_')}.log"
        try:
            worker = Worker(factory, settings, log, environment)
        except Missing as missing:
            self.notes.append(f"{name} is left out: the package {missing} is not installed.")
            print(self.notes[-1], flush=True)
            return False
        self._workers[name], self.facts[name] = worker, worker.facts
        print(f"{name}: ready after {time.perf_counter() - began:.1f} s", flush=True)
        return True

    def add_call(self, name: str, call: Callable[[], Sample]) -> None:
        """Takes a contestant that is no worker: `call` runs a round and says what it cost."""
        if not self._only or any(part in name for part in self._only):
            self._calls[name] = call

    def add_faster(self, name: str, factory: str, **settings: Any) -> bool:
        """Starts a contestant with and without our allocator setting and keeps the faster; both times are noted."""
        trials = {}
        for label, environment in (("our allocator setting", KEPT), ("plain malloc", PLAIN)):
            if not self.add(f"{name} ({label})", factory, environment, **settings):
                return False
            trials[label] = self._workers.pop(f"{name} ({label})")
            self.facts.pop(f"{name} ({label})")
        samples = interleave({label: worker.round for label, worker in trials.items()}, 3, 3)
        seconds = {label: median_seconds(taken) for label, taken in samples.items()}
        best = min(seconds, key=seconds.get)
        self.notes.append(
            f"{name}: a round took {seconds['our allocator setting']:.3g} s with our setting of glibc's allocator and "
            f"{seconds['plain malloc']:.3g} s without; it runs with {best}."
        )
        for label, worker in trials.items():
            if label != best:
                worker.close()
        self._workers[name], self.facts[name] = trials[best], trials[best].facts
        return True

    def run(self) -> Rounds:
        """Lets the contestants run in turns, ends them, and returns what counts."""
        turns = {**{name: worker.round for name, worker in self._workers.items()}, **self._calls}
        if not turns:
            return {}
        samples = interleave(turns, self._rounds, 2 * self._rounds)
        self.clear()
        self.samples |= samples
        counted, which = undisturbed(samples)
        self.notes.append(f"Medians of {which}.")
        return counted

    def clear(self) -> None:
        """Ends all contestants."""
        self._calls.clear()
        while self._workers:
            self._workers.popitem()[1].close()

    def __exit__(self, *error: object) -> None:
        self.clear()


def command(name: str, compare: Callable[[Bench], list[Row]]) -> None:
    """Runs a script: `compare` adds contestants, lets them run, and returns the table's rows."""

    def main() -> None:
        rounds = 1 if _SMOKE.value else _ROUNDS.value
        with (
            tempfile.TemporaryDirectory() as scratch,
            Bench(pathlib.Path(scratch), rounds, _SMOKE.value, _ONLY.value) as bench,
        ):
            rows = compare(bench)
            spoken = shlex.join(
                ["python", *(part for part in sys.orig_argv[1:] if not part.startswith("--out"))]
            )
            result = Result(spoken, rows, bench.notes, bench.facts, bench.samples, bench.smoke)
            print(f"\n{write(pathlib.Path(_OUT.value), name, result)}")

    run_command(main)
