"""Where numbers go: a console line for people, JSON lines for programs, TensorBoard for both."""

import importlib.util
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from toto_jax.training.task import Metrics

LOG_NAME = "metrics.jsonl"
# Kind of the last line of a run that was stopped as its loss or gradients were not finite.
DIVERGED = "diverged"


class MetricWriter:
    """Appends to `<workdir>/metrics.jsonl` and, where tensorboardX is installed, to `<workdir>/tensorboard/`.

    Args:
      workdir: of the run.
      first_step: what was written for later steps (by a run that was killed after its last checkpoint) is dropped.
      beside: number of steps done -> what else to write in their lines of kind "train".
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        first_step: int,
        beside: Callable[[int], Mapping[str, float]] = lambda step: {},
    ):
        self._beside = beside
        self._path = workdir / LOG_NAME
        kept = [line for line in read_metrics(workdir) if line["step"] <= first_step]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(text)
        temporary.replace(self._path)
        self._file = self._path.open("a")
        self._board = None
        if importlib.util.find_spec("tensorboardX"):
            from tensorboardX import SummaryWriter

            self._board = SummaryWriter(str(workdir / "tensorboard"), purge_step=first_step + 1)

    def write(self, step: int, kind: str, values: dict[str, float]) -> None:
        """Writes one line `{"step": ..., "kind": ..., name: value, ...}`."""
        if kind == "train":
            values = {**values, **self._beside(step)}
        self._file.write(json.dumps({**values, "step": step, "kind": kind}) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()


def read_metrics(workdir: pathlib.Path) -> list[dict[str, Any]]:
    """Returns the lines of a run's metrics; a last line cut short by a kill is left out."""
    path = workdir / LOG_NAME
    lines = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return lines


class RunningMeans:
    """Means of metrics since the last `take`, from sums and counts."""

    def __init__(self) -> None:
        self._sums: dict[str, np.ndarray] = {}
        self._last: dict[str, float] = {}

    def add(self, metrics: Metrics) -> dict[str, float]:
        """Adds a step's metrics and returns that step's own means. Waits for the step to be done."""
        host = jax.device_get(metrics)
        for name, pair in host.items():
            self._sums[name] = self._sums.get(name, np.zeros(2)) + np.asarray(pair, np.float64)
        return {name: float(total / max(count, 1e-30)) for name, (total, count) in host.items()}

    def take(self) -> dict[str, float]:
        """Returns the means and starts anew."""
        means = {name: float(total / max(count, 1e-30)) for name, (total, count) in self._sums.items()}
        self._sums = {}
        return means


def duration(seconds: float) -> str:
    """Returns `1d 02:03`, `2:03:04` or `3:04`, for progress lines."""
    seconds = round(max(seconds, 0))
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, seconds = divmod(rest, 60)
    if days:
        return f"{days}d {hours:02}:{minutes:02}"
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def rate_text(per_second: float) -> str:
    """Returns `850`, `12.3k` or `4.56M` for a rate."""
    for scale, suffix in ((1e6, "M"), (1e3, "k")):
        if per_second >= scale:
            return f"{per_second / scale:.3g}{suffix}"
    return f"{per_second:.3g}"


def console_line(
    step: int,
    steps: int,
    values: dict[str, float],
    units: str,
    rate: float,
    left: float,
    mfu: float | None = None,
) -> str:
    """Returns the line that a person reads: where we are, the losses, the rate and the time left."""
    shown = [
        f"{name.replace('_', ' ')} {value:.4g}"
        for name, value in values.items()
        if name not in ("learning_rate", "grad_norm", "bad_steps", "bad_steps_in_a_row")
    ]
    bad = values.get("bad_steps", 0)
    if bad:
        shown.append(f"SKIPPED {bad:.0f} non-finite")
    width = len(str(steps))
    utilised = "" if mfu is None else f"  MFU {100 * mfu:.1f}%"
    speed = f"{rate_text(rate)} {units}/s{utilised}  {duration(left)} left" if rate else "timing"
    return (
        f"step {step:>{width}}/{steps}  {'  '.join(shown)}  lr {values.get('learning_rate', 0):.2e}  "
        f"grad {values.get('grad_norm', 0):.3g}  {speed}"
    )
