"""The state of a run: everything that a step reads and writes, as a plain pytree."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from toto_jax.training.task import Task
from toto_jax.tree import Params


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """Attributes:
    step: batches consumed; data order and randomness depend on it and on nothing else.
    params: float32 parameters.
    opt_state: of the optax chain.
    ema: averaged parameters, or None when they are turned off.
    bad_steps: non-finite steps skipped so far.
    bad_steps_in_a_row: of them, those since the last good step.
    frozen: see `task.Frozen`. It travels with the state, so that it is no constant of the compiled step, and stays
      out of checkpoints.
    """

    step: jax.Array
    params: Params
    opt_state: Any
    ema: Params | None
    bad_steps: jax.Array
    bad_steps_in_a_row: jax.Array
    frozen: Params = dataclasses.field(default_factory=dict)

    @property
    def best_params(self) -> Params:
        """The averaged parameters where they are kept, else the trained ones: what evaluations and exports use."""
        return self.params if self.ema is None else self.ema


def init_state(task: Task, optimizer: optax.GradientTransformation, ema: bool, seed: int) -> TrainState:
    """Returns the state before the first step. Pure: jit it with output shardings to have it born sharded."""
    return start_state(task.init(jax.random.fold_in(jax.random.key(seed), 0)), optimizer, ema)


def start_state(params: Params, optimizer: optax.GradientTransformation, ema: bool) -> TrainState:
    """Returns the state before the first step with these parameters: nothing counted, nothing averaged yet. Pure."""
    zero = jnp.zeros((), jnp.int32)
    return TrainState(
        step=zero,
        params=params,
        opt_state=optimizer.init(params),
        # A copy, since a buffer can't be donated twice.
        ema=jax.tree.map(jnp.copy, params) if ema else None,
        bad_steps=zero,
        bad_steps_in_a_row=zero,
    )
