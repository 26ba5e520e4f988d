"""Watches a run: reads metrics one step late, logs their means, and stops a run that has diverged."""

import dataclasses
from collections.abc import Callable

from toto_jax.errors import ConfigError, DivergedError
from toto_jax.training.metrics import MetricWriter, RunningMeans, Stopwatch, console_line
from toto_jax.training.task import Metrics


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
    """Reads metrics one step late, logs means, and stops a run that has diverged."""

    def __init__(
        self,
        config: TrainConfig,
        units: tuple[str, int],
        writer: MetricWriter | None,
        log: Callable[[str], None],
    ):
        self._config = config
        self._units = units
        self._writer = writer
        self._log = log
        self._means = RunningMeans()
        self._pending: tuple[int, Metrics] | None = None
        self._compiling = True
        self.stopwatch = Stopwatch()

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
        if self._compiling:
            # The first step includes compilation; a rate with it in would mislead for a long while.
            self._compiling = False
            self._log(f"compiled and took the first step in {self.stopwatch.seconds():.1f} s")
            self.stopwatch.take()
        else:
            self.stopwatch.step()
        bad = int(values["bad_steps_in_a_row"])
        if bad >= self._config.max_bad_steps:
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
            name, per_example = self._units
            rate = self.stopwatch.take()
            throughput = rate * self._config.batch_size * per_example
            left = (self._config.steps - step) / max(rate, 1e-9)
            self._log(console_line(step, self._config.steps, means, name, throughput, left))
            if self._writer is not None:
                self._writer.write(step, "train", {**means, f"{name}_per_second": throughput})
