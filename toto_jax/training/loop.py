"""The one training loop: every task, from a probe to a pre-training, goes through here."""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from toto_jax.errors import Preempted
from toto_jax.models.parametrisation import standard
from toto_jax.sharding.report import check_axes_used
from toto_jax.sharding.rules import check_divides, partition_spec, shardings
from toto_jax.training.checkpoint import Checkpoints, abstract_like
from toto_jax.training.goodput import Goodput
from toto_jax.training.metrics import MetricWriter
from toto_jax.training.monitor import Monitor, TrainConfig
from toto_jax.training.optimizer import OptimizerConfig, learning_rate_schedule, make_optimizer
from toto_jax.training.preemption import StopSignal
from toto_jax.training.profiling import ProfileConfig, Profiler
from toto_jax.training.state import TrainState, init_state, start_state
from toto_jax.training.step import train_step
from toto_jax.training.task import Batch, Frozen, Task
from toto_jax.training.throughput import Work
from toto_jax.tree import Params

_EXAMPLES = Work()
_NOTHING = Frozen()
_NO_PROFILER = Profiler(ProfileConfig(0, 1), pathlib.Path(), lambda line: None)


@dataclasses.dataclass(frozen=True)
class Hook:
    """Something done between steps with the state: an evaluation.

    Attributes:
      every: steps between calls; 0 for the end of the run only. The end always calls.
      run: takes the number of steps done and the state.
    """

    every: int
    run: Callable[[int, TrainState], None]


class Trainer:
    """A task's step, compiled for a mesh, and the loop around it.

    Args:
      task: what is learned.
      optimizer: how.
      config: how long, how much at once.
      mesh: on what.
      seed: of parameters and of every step's randomness.
      work: of one example, for throughput.
      frozen: what the task's loss needs besides what is learned.
      scales: tree of each parameter's factors (`models.parametrisation.Scale`); all 1 by default.

    Raises:
      ConfigError: when parameters or batch can't be laid over the mesh.
    """

    def __init__(
        self,
        task: Task,
        optimizer: OptimizerConfig,
        config: TrainConfig,
        mesh: Mesh,
        seed: int,
        work: Work = _EXAMPLES,
        frozen: Frozen = _NOTHING,
        scales: Any = None,
    ):
        self.config = config
        self.mesh = mesh
        self.work = work
        axes = task.logical_axes()
        self.scales = standard(axes) if scales is None else scales
        transform = make_optimizer(optimizer, config.steps, axes, self.scales)
        self._init = functools.partial(init_state, task, transform, optimizer.ema > 0, seed)
        self._start = functools.partial(start_state, optimizer=transform, ema=optimizer.ema > 0)
        self._frozen = frozen
        self.abstract_state = dataclasses.replace(jax.eval_shape(self._init), frozen=frozen.abstract)
        self.state_shardings = self._state_shardings(axes, transform)
        self.batch_shardings = self._batch_shardings(task.batch_spec(config.batch_size))
        check_axes_used(mesh, self.state_shardings.params, self.batch_shardings, task.activation_axes)
        step = functools.partial(
            train_step,
            task=task,
            optimizer=transform,
            schedule=learning_rate_schedule(optimizer, config.steps),
            seed=seed,
            ema=optimizer.ema,
            microbatches=config.microbatches,
        )
        self.step = jax.jit(
            step,
            donate_argnums=0,
            in_shardings=(self.state_shardings, self.batch_shardings),
            out_shardings=(self.state_shardings, None),
        )

    def _state_shardings(self, axes: Any, transform: optax.GradientTransformation) -> TrainState:
        abstract = self.abstract_state
        params = shardings(self.mesh, axes, abstract.params)
        whole = NamedSharding(self.mesh, PartitionSpec())
        return TrainState(
            step=whole,
            params=params,
            # Moments lie where their parameters lie.
            opt_state=optax.tree.map_params(
                transform,
                lambda _, sharding: sharding,
                abstract.opt_state,
                params,
                transform_non_params=lambda _: whole,
            ),
            ema=None if abstract.ema is None else params,
            bad_steps=whole,
            bad_steps_in_a_row=whole,
            frozen=jax.tree.map(lambda _: whole, abstract.frozen),
        )

    def _batch_shardings(self, spec: dict[str, jax.ShapeDtypeStruct]) -> dict[str, NamedSharding]:
        found = {}
        for name, leaf in spec.items():
            rows = partition_spec(("batch", *[None] * (len(leaf.shape) - 1)))
            microbatch = leaf.shape[0] // self.config.microbatches
            check_divides(self.mesh, "config.train.batch_size / microbatches", microbatch, rows[0])
            found[name] = NamedSharding(self.mesh, rows)
        return found

    def init(self, params: Params | None = None) -> TrainState:
        """Returns the state before the first step, made in place on its devices.

        Args:
          params: to start with, laid out as `state_shardings.params`. They become part of the state and are gone
            for the caller. By default the task makes them.
        """
        made = dataclasses.replace(self.state_shardings, frozen={})
        with jax.set_mesh(self.mesh):
            if params is None:
                state = jax.jit(self._init, out_shardings=made)()
            else:
                state = jax.jit(self._start, donate_argnums=0, out_shardings=made)(params)
            return self._with_frozen(state)

    def restore(self, checkpoints: Checkpoints) -> TrainState:
        """Returns the newest saved state, laid over this mesh."""
        state = checkpoints.restore(abstract_like(self.abstract_state, self.state_shardings))
        return self._with_frozen(state)

    def check_frozen(self) -> None:
        """Reads what is frozen and drops it, so that what is missing or wrong stops a run before its first work."""
        self._frozen.load()

    def _with_frozen(self, state: TrainState) -> TrainState:
        return dataclasses.replace(
            state, frozen=jax.device_put(self._frozen.load(), self.state_shardings.frozen)
        )

    def _begin(self, checkpoints: Checkpoints | None, initial: Callable[[], Params] | None) -> TrainState:
        if checkpoints is not None and checkpoints.latest_step is not None:
            return self.restore(checkpoints)
        return self.init(None if initial is None else initial())

    def fit(
        self,
        batches_from: Callable[[int], Iterator[Batch]],
        *,
        checkpoints: Checkpoints | None = None,
        writer: MetricWriter | None = None,
        hooks: Sequence[Hook] = (),
        initial: Callable[[], Params] | None = None,
        profiler: Profiler | None = None,
        log: Callable[[str], None] = lambda line: None,
    ) -> TrainState:
        """Trains to the last step, from the newest checkpoint where there is one.

        Args:
          batches_from: step -> iterator of global batches from that step on; the data's state is the step.
          checkpoints: where to save and resume.
          writer: where numbers go.
          hooks: evaluations.
          initial: reads the parameters that a run without a checkpoint starts with (see `init`); by default the
            task makes them.
          profiler: traces some steps.
          log: takes lines for people.

        Returns:
          The state after the last step.

        Raises:
          DivergedError: after `max_bad_steps` non-finite steps in a row.
          Preempted: after SIGTERM or SIGINT, with the state saved.
        """
        goodput = Goodput()
        with goodput.spend("restore"):
            state = jax.block_until_ready(self._begin(checkpoints, initial))
        start = int(state.step)
        monitor = Monitor(self.config, self.work, list(self.mesh.devices.flat), goodput, writer, log)
        with (
            jax.set_mesh(self.mesh),
            StopSignal() as stop,
            contextlib.closing(profiler or _NO_PROFILER) as profiler,
        ):
            batches = batches_from(start) if start < self.config.steps else iter(())
            # The order matters: the metrics of step n-1 are read after step n is dispatched, so the devices never wait
            # for the host; evaluations see the state that would be saved; a save comes after the evaluations
            # that are due with it, so that a resumed run owes none.
            for step in range(start + 1, self.config.steps + 1):
                with goodput.spend("data"):
                    batch = next(batches)
                if step == start + 1:
                    monitor.restart_clock()
                profiler.before(step)
                state, metrics = self.step(state, batch)
                profiler.after(step, metrics)
                monitor.put(step, metrics)
                last = step == self.config.steps
                for hook in hooks:
                    if last or (hook.every and step % hook.every == 0):
                        monitor.flush()
                        with goodput.spend("evaluation"):
                            hook.run(step, state)
                        monitor.restart_clock()
                stopping = stop.reached(step)
                if checkpoints is not None and (last or stopping or checkpoints.due(step)):
                    monitor.flush()
                    with goodput.spend("checkpoint"):
                        checkpoints.save(step, state)
                    monitor.restart_clock()
                if stopping and not last:
                    break
            monitor.flush()
            if checkpoints is not None:
                with goodput.spend("checkpoint"):
                    checkpoints.wait()
        if start < self.config.steps:
            log(goodput.summary())
            if writer is not None:
                writer.write(step, "goodput", goodput.record())
            if step < self.config.steps:
                raise Preempted(f"Asked to stop after step {step}; run the same command again to go on")
        return state
