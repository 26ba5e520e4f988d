"""Being asked to stop: a scheduler's SIGTERM, a person's Ctrl-C."""

import signal
import threading
from typing import Any


class StopSignal:
    """Turns the first SIGTERM or SIGINT into a request; a second one ends the process as usual."""

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopSignal":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._request)
        return self

    def _request(self, number: int, frame: Any) -> None:
        del frame
        self.requested = True
        signal.signal(number, self._previous[number])

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
