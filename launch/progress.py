"""How far a run is, by its metrics.jsonl."""

import dataclasses
import json
import os
import pathlib

# toto_jax.training.metrics writes it; importing that would bring JAX along.
METRICS = "metrics.jsonl"
# Of the file's end; a line is a few hundred bytes.
_TAIL = 256 * 1024


@dataclasses.dataclass(frozen=True)
class Progress:
    """Attributes:
    step: the last one logged; 0 before the first.
    loss: there.
    rate: tokens (patches, frames) a second there.
    step_seconds: duration of a step there.
    """

    step: int
    loss: float | None = None
    rate: float | None = None
    step_seconds: float | None = None


def read_progress(folder: pathlib.Path) -> Progress | None:
    """Returns how far the run in `folder` is, or None if the folder can't be seen from here."""
    if not folder.is_dir():
        return None
    try:
        with (folder / METRICS).open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - _TAIL, 0))
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return Progress(0)
    for line in reversed(lines):
        try:
            values = json.loads(line)
        except json.JSONDecodeError:  # cut short by a kill, or by the start of the tail
            continue
        if values.get("kind") == "train":
            rates = [value for name, value in values.items() if name.endswith("_per_second")]
            return Progress(
                values["step"],
                values.get("loss"),
                rates[0] if rates else None,
                values.get("step_seconds_p50"),
            )
    return Progress(0)
