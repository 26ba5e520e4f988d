"""Locks that processes hold together: the kernel lets go of one when the last of them ends, however that happens.

The lock's file says who they are. A process is named by its id and when it started, so that a reused id isn't mistaken.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import signal
import time
from collections.abc import Sequence


def start_time(process: int) -> str:
    """Returns when a process started, in the kernel's ticks since boot; "" if there is none."""
    try:
        stat = pathlib.Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return ""
    # The second field is the program's name in brackets, which may hold anything.
    return stat.rpartition(")")[2].split()[19]


def hold(path: pathlib.Path, patience: float = 1.0) -> int | None:
    """Takes a lock for this process and those that it hands the lock's file to.

    Args:
      path: of the lock's file.
      patience: seconds to go on trying; who only looks (`is_held`) has the lock for a moment.

    Returns:
      The file's descriptor; None if somebody has it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, deadline = os.open(path, os.O_RDWR | os.O_CREAT, 0o644), time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                return None
        time.sleep(0.01)


def is_held(path: pathlib.Path) -> bool:
    """Returns whether a process of this machine holds a lock."""
    if not path.exists():
        return False
    descriptor = os.open(path, os.O_RDONLY)
    try:
        # Shared, so that those who look don't take each other for holders.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def sign(descriptor: int, processes: Sequence[int] = ()) -> None:
    """Writes into a lock's file who holds it: this process first, then those that it started."""
    who = [{"pid": process, "started": start_time(process)} for process in (os.getpid(), *processes)]
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(who).encode(), 0)


def tell(path: pathlib.Path, number: int) -> None:
    """Sends a signal to the first that lives of a lock's holders; SIGKILL to all of them."""
    if not is_held(path):
        return
    with contextlib.suppress(ValueError):
        who = json.loads(path.read_text())
        alive = [one["pid"] for one in who if start_time(one["pid"]) == one["started"]]
        for process in alive if number == signal.SIGKILL else alive[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)


def wait_until_free(path: pathlib.Path, seconds: float) -> bool:
    """Returns whether nobody holds a lock any more, after at most so many seconds."""
    deadline = time.monotonic() + seconds
    while is_held(path):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
