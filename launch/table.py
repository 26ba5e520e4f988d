"""The table of a launch's members: state, attempt, step, loss, rate and time left."""

import json
from collections.abc import Sequence

from launch import attempts, locks
from launch.launching import Launch, backend_module
from launch.members import Member
from launch.progress import Progress, read_progress
from launch.retry import judge
from launch.supervisor import LOCK

_HEADER = ("member", "state", "attempt", "step", "loss", "per second", "left")


def table(launch: Launch) -> str:
    """Returns the table as aligned text, with a line that counts the states."""
    said = backend_module(launch.backend).states(launch)
    rows = [_row(launch, member, said.get(member.name)) for member in launch.members]
    counts = ", ".join(
        f"{sum(row[1] == state for row in rows)} {state}" for state in sorted({row[1] for row in rows})
    )
    return f"{align([_HEADER, *rows])}\n{counts}"


def state_of(launch: Launch, member: Member, said: str | None) -> str:
    """Returns a word on a member; what its scheduler says of it counts before what was last written."""
    folder = launch.folder(member)
    if (folder / attempts.DONE).exists():
        return "done"
    if attempts.runs(folder):
        return "running"
    if said is not None:
        return said
    history = attempts.history(folder)
    if not history:
        return "not started"
    verdict = judge(history, launch.budgets)
    # Only a launcher at work here starts it again; schedulers have said so before.
    return "stopped" if verdict.again and not locks.is_held(launch.workdir / LOCK) else verdict.state


def _row(launch: Launch, member: Member, said: str | None) -> tuple[str, ...]:
    folder = launch.folder(member)
    progress = read_progress(folder) or Progress(0)
    steps = json.loads(member.config)["train"]["steps"]
    state = state_of(launch, member, said)
    left = (steps - progress.step) * progress.step_seconds if progress.step_seconds is not None else None
    return (
        member.name,
        state,
        str(attempts.count(folder) or "-"),
        f"{progress.step}/{steps}",
        "-" if progress.loss is None else f"{progress.loss:.4g}",
        "-" if progress.rate is None else f"{progress.rate:,.0f}",
        "-" if left is None or state != "running" else _duration(left),
    )


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def align(rows: Sequence[Sequence[str]]) -> str:
    """Returns rows of words as columns; all but the first two are numbers and stand to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if index < 2 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
