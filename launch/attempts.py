"""A member's attempts on the disk: `logs/attempt-003/` with a log a process and how it ended in `attempt.json`.

While anything of an attempt lives it holds the lock `<member>/running.json`, so a member never runs twice. One that is
done has a `DONE`.
"""

import contextlib
import json
import pathlib
import signal

from launch import locks
from launch.journal import write_whole
from launch.retry import Ended
from toto_jax.errors import DivergedError

DONE = "DONE"
_RECORD = "attempt.json"
_FORGIVEN = "forgiven"  # how many attempts no longer count


def lock_of(folder: pathlib.Path) -> pathlib.Path:
    """Returns the lock that a member's attempt holds."""
    return folder / "running.json"


def runs(folder: pathlib.Path) -> bool:
    """Returns whether anything of the member's last attempt lives on this machine."""
    return locks.is_held(lock_of(folder))


def begin(folder: pathlib.Path) -> pathlib.Path:
    """Makes the folder of a new attempt and returns it."""
    logs = folder / "logs" / f"attempt-{count(folder) + 1:03}"
    logs.mkdir(parents=True)
    return logs


def end(folder: pathlib.Path, logs: pathlib.Path, code: int, step: int | None) -> None:
    """Writes down how an attempt ended; a member that is done gets its DONE."""
    write_whole(logs / _RECORD, json.dumps({"code": code, "step": step}) + "\n")
    if code == 0:
        write_whole(folder / DONE, json.dumps({"code": 0, "step": step}) + "\n")


def note_done(folder: pathlib.Path) -> None:
    """Gives a member its DONE whose attempts were made elsewhere."""
    write_whole(folder / DONE, json.dumps({"code": 0, "step": None}) + "\n")


def history(folder: pathlib.Path) -> list[Ended]:
    """Returns how the member's attempts ended since it was last launched or resumed, oldest first.

    An attempt of which nothing lives and nothing is written was killed with all that would have known: code 137.
    """
    ended = []
    for logs in _folders(folder)[_forgiven(folder) :]:
        try:
            record = json.loads((logs / _RECORD).read_text())
        except FileNotFoundError:
            record = {"code": 128 + signal.SIGKILL, "step": None}
        ended.append(Ended(record["code"], record["step"]))
    return ended


def forgive(folder: pathlib.Path) -> None:
    """Begins the history anew: whoever launches again has mended what was wrong, or wants to know."""
    if count(folder):
        write_whole(folder / "logs" / _FORGIVEN, f"{count(folder)}\n")


def _forgiven(folder: pathlib.Path) -> int:
    path = folder / "logs" / _FORGIVEN
    return int(path.read_text()) if path.exists() else 0


def last_code(folder: pathlib.Path) -> int | None:
    """Returns how the last attempt ended; None if there was none, or it runs or left nothing."""
    with contextlib.suppress(FileNotFoundError, IndexError):
        return json.loads((_folders(folder)[-1] / _RECORD).read_text())["code"]
    return None


def is_settled(folder: pathlib.Path) -> bool:
    """Returns whether a member needs no further start: it is done, or has diverged and would again."""
    return (folder / DONE).exists() or last_code(folder) == DivergedError.exit_code


def count(folder: pathlib.Path) -> int:
    """Returns how many attempts there were."""
    return len(_folders(folder))


def last_log(folder: pathlib.Path) -> pathlib.Path | None:
    """Returns the log of the first process of the last attempt."""
    folders = _folders(folder)
    return folders[-1] / "process-0.log" if folders else None


def _folders(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted((folder / "logs").glob("attempt-*"))
