"""What the launcher did and when, one JSON line each, and small files that are written whole or not at all."""

import datetime
import json
import pathlib
from typing import Any

JOURNAL = "launch.jsonl"


def note(workdir: pathlib.Path, action: str, **fields: Any) -> None:
    """Appends a line to `<workdir>/launch.jsonl`: time, action, and what belongs to it (argv, return code, member)."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    with (workdir / JOURNAL).open("a") as file:
        file.write(json.dumps({"time": now, "action": action, **fields}) + "\n")


def read_journal(workdir: pathlib.Path) -> list[dict[str, Any]]:
    """Returns the journal's lines; one that a kill cut short is left out."""
    lines = []
    path = workdir / JOURNAL
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return lines


def write_whole(path: pathlib.Path, text: str) -> None:
    """Writes a file so that nobody ever sees a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text)
    temporary.replace(path)
