"""Where a run's time goes: seconds by what was done, so that what isn't training can be seen and cut."""

import contextlib
import os
import pathlib
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

# "step" is what is left when the others are taken off: the time in which the devices train.
BUCKETS = ("step", "compile", "data", "evaluation", "checkpoint", "restore")


class Goodput:
    """Seconds since it was made, by bucket."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._seconds = dict.fromkeys(BUCKETS[1:], 0.0)

    @contextlib.contextmanager
    def spend(self, bucket: str) -> Iterator[None]:
        """Counts the time inside of the `with` to a bucket other than "step"."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[bucket] += time.perf_counter() - began

    def add(self, bucket: str, seconds: float) -> None:
        """Counts seconds that have passed already."""
        self._seconds[bucket] += seconds

    def seconds(self) -> dict[str, float]:
        """Returns the seconds of each bucket; they add up to the time since this was made."""
        total = time.perf_counter() - self._began
        return {"step": max(total - sum(self._seconds.values()), 0.0), **self._seconds}

    def summary(self) -> str:
        """Returns `time: step 81.2% · compile 9.1% · ...`, largest first, without what is nothing."""
        return f"time: {shares(self.seconds())}"

    def record(self) -> dict[str, float]:
        """Returns the seconds under the names that they have in a log: `step_seconds`, `data_seconds`, ..."""
        return {f"{name}_seconds": value for name, value in self.seconds().items()}


def recorded(lines: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Returns seconds by bucket, summed over logged records: those of a run's attempts."""
    found = list(lines)
    return {name: sum(line.get(f"{name}_seconds", 0.0) for line in found) for name in BUCKETS}


def shares(seconds: Mapping[str, float]) -> str:
    """Returns `step 81.2% · compile 9.1% · ...`, largest first, without what is nothing."""
    total = max(sum(seconds.values()), 1e-9)
    parts = sorted(((value / total, name) for name, value in seconds.items()), reverse=True)
    return " · ".join(f"{name} {100 * share:.1f}%" for share, name in parts if share >= 5e-4)


def seconds_since_start() -> float | None:
    """Returns how long ago this process started, or None where the system doesn't say (anything but Linux)."""
    stat = pathlib.Path("/proc/self/stat")
    if not stat.exists():
        return None
    # The command's name, in brackets, may hold spaces; the start time is the 20th field after it.
    ticks = int(stat.read_text().rpartition(")")[2].split()[19])
    uptime = float(pathlib.Path("/proc/uptime").read_text().split()[0])
    return uptime - ticks / os.sysconf("SC_CLK_TCK")
