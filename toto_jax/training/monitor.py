"""Watches a run: reads metrics one step late, logs their means, and stops a run that has diverged."""

import dataclasses
import time
from collections.abc import Callable, Sequence

import jax
import numpy as np

from toto_jax.errors import ConfigError, DivergedError
from toto_jax.training.goodput import Goodput, seconds_since_start
from toto_jax.training.metrics import DIVERGED, MetricWriter, RunningMeans, console_line
from toto_jax.training.task import Metrics
from toto_jax.training.throughput import Work, throughput


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Attributes:
    steps: length of the run.
    batch_size: examples of a step, on all devices together.
    microbatches: parts that a batch is taken in.
    log_every: steps between log lines.
    max_bad_steps: non-finite steps in a row that stop the run.
    """

    steps: int
    batch_size: int
    microbatches: int
    log_every: int
    max_bad_steps: int

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if getattr(self, field.name) < 1:
                raise ConfigError(
                    f"config.train.{field.name} must be 1 or more, got {getattr(self, field.name)}"
                )
        if self.batch_size % self.microbatches:
            raise ConfigError(
                f"config.train.batch_size={self.batch_size} doesn't divide into {self.microbatches} microbatches"
            )


class Monitor:
    """Reads metrics one step late, logs means and throughput, and stops a run that has diverged.

    Args:
      config: how often to log, and when to stop.
      work: of one example.
      devices: that the steps run on.
      goodput: is told what compiling took.
      writer: where numbers go.
      log: takes lines for people.
    """

    def __init__(
        self,
        config: TrainConfig,
        work: Work,
        devices: Sequence[jax.Device],
        goodput: Goodput,
        writer: MetricWriter | None,
        log: Callable[[str], None],
    ):
        self._config = config
        self._work = work
        self._devices = devices
        self._goodput = goodput
        self._writer = writer
        self._log = log
        self._step_seconds: list[float] = []
        self._means = RunningMeans()
        self._pending: tuple[int, Metrics] | None = None
        self._compiling = True
        self._mark = time.perf_counter()

    def restart_clock(self) -> None:
        """Leaves the time since the last step out of the next one's: it went into something else."""
        self._mark = time.perf_counter()

    def put(self, step: int, metrics: Metrics) -> None:
        """Takes the metrics of a step just dispatched, after reading those of the step before."""
        self.flush()
        self._pending = (step, metrics)

    def flush(self) -> None:
        """Waits for the step taken last and reads its metrics."""
        if self._pending is None:
            return
        (step, metrics), self._pending = self._pending, None
        values = self._means.add(metrics)
        seconds = time.perf_counter() - self._mark
        self.restart_clock()
        if self._compiling:
            # The first step includes compilation; a rate with it in would mislead for a long while.
            self._compiling = False
            self._goodput.add("compile", seconds)
            since = seconds_since_start()
            started = "" if since is None else f", {since:.1f} s after the start of the process"
            self._log(f"compiled and took the first step in {seconds:.1f} s{started}")
        else:
            self._step_seconds.append(seconds)
        bad = int(values["bad_steps_in_a_row"])
        if bad >= self._config.max_bad_steps:
            if self._writer is not None:
                self._writer.write(step, DIVERGED, {"bad_steps_in_a_row": bad})
            raise DivergedError(
                f"Steps {step - bad + 1} to {step} had a loss or gradient that is not finite, and were skipped; "
                f"config.train.max_bad_steps={self._config.max_bad_steps} stops the run. "
                "Parameters are those of the last good step. "
                "A lower config.optimizer.learning_rate or a longer warm-up usually helps"
            )
        if step % self._config.log_every == 0 or step == self._config.steps:
            means = {
                **self._means.take(),
                **{name: values[name] for name in ("learning_rate", "bad_steps", "bad_steps_in_a_row")},
            }
            speed = throughput(self._work, self._config.batch_size, self._step_seconds, self._devices)
            left = (self._config.steps - step) * float(np.mean(self._step_seconds or [0.0]))
            self._step_seconds = []
            rate = speed.get(f"{self._work.units}_per_second", 0.0)
            self._log(
                console_line(step, self._config.steps, means, self._work.units, rate, left, speed.get("mfu"))
            )
            if self._writer is not None:
                self._writer.write(step, "train", {**means, **speed})
