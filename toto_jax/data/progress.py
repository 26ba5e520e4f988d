"""How far a long job is: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from typing import TextIO

from toto_jax.errors import require


class Progress:
    """Counts work done, and shows rate and time left.

    Args:
      description: what is going on.
      total: of units of work.
      done: before this process began, which doesn't count towards the rate.
      unit: what is counted.
      stream: where to show it.
      every: seconds between lines where there is no terminal.
    """

    def __init__(
        self,
        description: str,
        total: int,
        done: int,
        unit: str,
        stream: TextIO = sys.stderr,
        every: float = 30.0,
    ):
        self._tqdm = require("tqdm", "train").tqdm
        self._description, self._total, self._unit = description, total, unit
        self._initial = self._done = done
        self._stream, self._every = stream, every
        self._began = self._shown = time.monotonic()
        self._bar = None
        if stream.isatty():
            self._bar = self._tqdm(desc=description, total=total, initial=done, unit=f" {unit}", file=stream)

    def advance(self, amount: int) -> None:
        """Adds work done."""
        self._done += amount
        if self._bar is not None:
            self._bar.update(amount)
        elif time.monotonic() - self._shown > self._every:
            self._write_line()

    def done(self, amount: int) -> None:
        """Sets how much is done by now, by anyone."""
        self.advance(amount - self._done)

    def close(self) -> None:
        """Shows the last state."""
        if self._bar is not None:
            self._bar.close()
        else:
            self._write_line()

    def _write_line(self) -> None:
        self._shown = time.monotonic()
        line = self._tqdm.format_meter(
            n=self._done,
            total=self._total,
            elapsed=self._shown - self._began,
            initial=self._initial,
            prefix=self._description,
            unit=f" {self._unit}",
            ncols=0,
        )
        print(line, file=self._stream, flush=True)
