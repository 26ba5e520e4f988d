"""Who writes which unit of work: workers that share a folder, and nothing else, take different ones.

A claim is a small file that only one can create. Its owner touches it now and then, as long as its work goes on; one
that stays untouched, or whose process has died on this machine, is free again. Claims save work and guard nothing: two
workers that write the same unit (because one slept through its lease) write the same bytes and rename them into place.
"""

import contextlib
import json
import math
import os
import pathlib
import secrets
import socket
import threading
import time

CLAIMS = "claims"
# How long a claim lasts without a touch; a worker on another machine that died is replaced after this.
LEASE_SECONDS = 120.0


class Claims:
    """The claims of this process; a thread keeps them fresh until `close`, which gives them up.

    Args:
      lease: seconds.
      quiet: seconds that may pass between two beats; after more, whoever should beat is taken to hang, and the claims
        are left to expire until it does.
    """

    def __init__(self, lease: float = LEASE_SECONDS, quiet: float = math.inf):
        self._lease, self._quiet = lease, quiet
        self._last_beat = time.monotonic()
        self._owner = {
            "host": socket.gethostname(),
            "process": os.getpid(),
            "space": _process_space(),
            "token": secrets.token_hex(4),
        }
        self._held: set[pathlib.Path] = set()
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep_fresh, name="claims", daemon=True)
        self._thread.start()

    def take(self, folder: pathlib.Path, stem: str) -> bool:
        """Returns whether the unit is this process's to write now."""
        self.beat()
        path = folder / CLAIMS / f"{stem}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(2):
            # FileNotFoundError: whoever ended the job has removed the folder in between.
            with contextlib.suppress(FileExistsError, FileNotFoundError):
                with path.open("x") as file:
                    json.dump(self._owner, file)
                with self._lock:
                    self._held.add(path)
                return True
            judged = self._abandoned(path)
            if judged is None:
                return False
            # Renamed before it is deleted: of several that find it abandoned, one does so. Who comes late has the
            # new owner's claim in its hands, and puts it back.
            aside = path.with_name(f"{path.name}.{self._owner['token']}")
            with contextlib.suppress(OSError):
                path.rename(aside)
                if aside.stat().st_ino != judged:
                    os.link(aside, path)
                aside.unlink()
        return False

    def beat(self) -> None:
        """Says that the work goes on."""
        self._last_beat = time.monotonic()

    def release(self, folder: pathlib.Path, stem: str) -> None:
        """Gives a unit up, written or not."""
        path = folder / CLAIMS / f"{stem}.json"
        with self._lock:
            self._held.discard(path)
        with contextlib.suppress(FileNotFoundError):
            if owner_of(path).get("token") == self._owner["token"]:
                path.unlink()

    def close(self) -> None:
        """Gives up all units."""
        self._done.set()
        self._thread.join()
        for path in list(self._held):
            self.release(path.parent.parent, path.stem)

    def _keep_fresh(self) -> None:
        while not self._done.wait(self._lease / 6):
            if time.monotonic() - self._last_beat > self._quiet:
                continue
            with self._lock:
                held = list(self._held)
            for path in held:
                with contextlib.suppress(OSError):
                    os.utime(path)

    def _abandoned(self, path: pathlib.Path) -> int | None:
        """Returns the inode of a claim that nobody keeps any more; None if somebody does, or it is gone."""
        try:
            status, owner = path.stat(), owner_of(path)
            near = all(owner.get(key) == self._owner[key] for key in ("host", "space"))
            if near and not _alive(owner["process"]):
                return status.st_ino
            # The file system's clock, not this machine's.
            clock = path.with_name(f".clock.{self._owner['token']}")
            clock.touch()
            now = clock.stat().st_mtime
            clock.unlink()
        except FileNotFoundError:
            return None
        return status.st_ino if now - status.st_mtime > self._lease else None


def owner_of(path: pathlib.Path) -> dict[str, object]:
    """Returns host and process of a claim; nothing of one that is just being written."""
    try:
        return json.loads(path.read_text())
    except ValueError:
        return {}


def _alive(process: object) -> bool:
    try:
        os.kill(int(str(process)), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _process_space() -> int:
    """Returns in which space processes are numbered: containers of one machine have their own."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:  # not Linux
        return 0
