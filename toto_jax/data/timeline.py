"""Who was busy when: spans of time in lanes, for a share at the end and a file that Perfetto and Chrome show."""

import collections
import contextlib
import json
import pathlib
import threading
import time
from collections.abc import Iterator


class Timeline:
    """Spans of a job. Threads may share it.

    Args:
      keep: whether single spans are wanted (for `write`), not only how long they were together.
    """

    def __init__(self, keep: bool):
        self._began = time.monotonic()
        self._busy: collections.Counter[str] = collections.Counter()
        self._spans: list[tuple[str, str, float, float]] | None = [] if keep else None
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def span(self, lane: str, what: str) -> Iterator[None]:
        """Measures the time inside as one span of a lane."""
        began = time.monotonic()
        try:
            yield
        finally:
            ended = time.monotonic()
            with self._lock:
                self._busy[lane] += ended - began
                if self._spans is not None:
                    self._spans.append((lane, what, began, ended))

    @property
    def seconds(self) -> float:
        """How long it is since the beginning."""
        return time.monotonic() - self._began

    def busy(self, lanes: str) -> float:
        """Returns the share of the time in which lanes whose name begins so were busy, averaged over them."""
        found = [seconds for lane, seconds in self._busy.items() if lane.startswith(lanes)]
        return sum(found) / len(found) / self.seconds if found else 0.0

    def write(self, path: pathlib.Path) -> None:
        """Writes the kept spans as a trace (the JSON of chrome://tracing, which ui.perfetto.dev opens as well)."""
        lanes = sorted({lane for lane, *_ in self._spans or []})
        events: list[dict[str, object]] = [
            {"ph": "M", "name": "thread_name", "pid": 0, "tid": number, "args": {"name": lane}}
            for number, lane in enumerate(lanes)
        ]
        for lane, what, began, ended in sorted(self._spans or [], key=lambda span: span[2]):
            start, length = (began - self._began) * 1e6, (ended - began) * 1e6  # microseconds
            place = {"pid": 0, "tid": lanes.index(lane)}
            events.append({"ph": "X", "name": what, "ts": round(start, 1), "dur": round(length, 1), **place})
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}))
