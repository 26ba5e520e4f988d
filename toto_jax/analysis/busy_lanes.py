"""A trace of who was busy when, as a picture: a row a lane, a bar a span."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from toto_jax.analysis.plots import COLOURS, rendered
from toto_jax.errors import DataError

# Lane -> its spans, as (start, length) in seconds.
Lanes = Mapping[str, Sequence[tuple[float, float]]]
_ROW = 34  # pixels of a lane


def read_lanes(path: pathlib.Path) -> Lanes:
    """Returns the lanes of a trace that `data.timeline.Timeline.write` wrote, in their order.

    Raises:
      DataError: if it is no such trace.
    """
    try:
        events = json.loads(path.read_text())["traceEvents"]
        names = {event["tid"]: event["args"]["name"] for event in events if event["ph"] == "M"}
        lanes: dict[str, list[tuple[float, float]]] = {name: [] for _, name in sorted(names.items())}
        for event in events:
            if event["ph"] == "X":
                lanes[names[event["tid"]]].append((event["ts"] / 1e6, event["dur"] / 1e6))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is no trace of toto_jax.pretokenize --trace: {type(error).__name__} {error}"
        ) from error
    if not lanes:
        raise DataError(f"{path} has no lanes: the job had nothing left to do")
    return lanes


def share(spans: Sequence[tuple[float, float]], start: float, end: float) -> float:
    """Returns the share of the time from `start` to `end` that the spans of one lane take."""
    inside = (min(at + length, end) - max(at, start) for at, length in spans)
    return sum(max(seconds, 0.0) for seconds in inside) / (end - start)


def draw_lanes(lanes: Lanes, start: float, end: float, file_format: str) -> bytes:
    """Returns a picture of the lanes from second `start` to second `end`; "svg" or "png"."""

    def draw(axes: Any) -> dict[str, Any]:
        for row, spans in enumerate(lanes.values()):
            colour = COLOURS[row % len(COLOURS)]
            axes.broken_barh(list(spans), (row - 0.36, 0.72), facecolors=colour, edgecolors="none")
        axes.set_xlim(start, end)
        return {}

    rows = [f"{name}, {share(spans, start, end):.0%}" for name, spans in lanes.items()]
    height = 70 + _ROW * len(lanes)
    label = "seconds since the worker began"
    return rendered(draw, label, "", rows=rows, height=height, file_format=file_format)
