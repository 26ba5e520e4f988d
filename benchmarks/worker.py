"""A contestant in a process of its own: built once, kept warm, told when to run a round.

The parent writes a line for each round; the worker answers with a `Sample` as JSON. When its input ends, so does it. It
is started as `python -m benchmarks.worker module:factory settings`, where `factory(**settings)` returns
(facts, work): facts are plain values about what was built, `work()` is one round.
"""

import contextlib
import dataclasses
import importlib
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from benchmarks.machine import cores
from benchmarks.timing import Sample, measure
from toto_jax.command_line import ALLOCATOR, KEPT_MEMORY

# What every command of ours starts with on a CPU, and what others start with.
KEPT, PLAIN = {ALLOCATOR: KEPT_MEMORY}, {ALLOCATOR: ""}


class Missing(Exception):
    """A contestant can't take part, because a package isn't installed."""


class Failed(Exception):
    """A contestant's process ended; the message has the end of what it printed."""


class Worker(contextlib.AbstractContextManager["Worker"]):
    """A contestant.

    Args:
      factory: "module:function".
      settings: its keyword arguments, JSON values.
      log: file for what it prints.
      environment: what to change in its environment.

    Raises:
      Missing: when it lacks a package.
      Failed: when it can't be built.
    """

    def __init__(
        self,
        factory: str,
        settings: Mapping[str, Any],
        log: pathlib.Path,
        environment: Mapping[str, str] = KEPT,
    ):
        threads = str(cores())
        # Several processes share a GPU, and what is said of compilation is said of a cold one.
        fixed = {
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            "JAX_ENABLE_COMPILATION_CACHE": "false",
        }
        self._log = log
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.worker", factory, json.dumps(dict(settings))],
                env={**os.environ, **fixed, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        try:
            self.facts = self._answer()
            if "missing" in self.facts:
                raise Missing(self.facts["missing"])
            self.round()  # the first one compiles and fills caches
        except BaseException:
            self.close()
            raise

    def round(self) -> Sample:
        """Runs one round."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write("round\n")
            self._process.stdin.flush()
        return Sample(**self._answer())

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            raise Failed(f"{' '.join(self._process.args[1:])} ended:\n{self._log.read_text()[-3000:]}")
        return json.loads(line)

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.communicate()

    def __exit__(self, *error: object) -> None:
        self.close()


def serve(factory: str, settings: str) -> None:
    """What the worker's process does."""
    # Libraries print; the parent reads nothing but answers.
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(values: Mapping[str, Any]) -> None:
        channel.write(json.dumps(values) + "\n")
        channel.flush()

    module, _, function = factory.partition(":")
    try:
        facts, work = getattr(importlib.import_module(module), function)(**json.loads(settings))
    except ModuleNotFoundError as error:
        if error.name.partition(".")[0] in ("benchmarks", "toto_jax"):
            raise
        answer({"missing": error.name})
        return
    answer(facts)
    for _ in sys.stdin:
        answer(dataclasses.asdict(measure(work)))


if __name__ == "__main__":
    serve(*sys.argv[1:])
