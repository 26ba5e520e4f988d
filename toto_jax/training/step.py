"""One step of training: a pure function of (state, batch)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from toto_jax.sharding.per_device import over_replicas
from toto_jax.training.state import TrainState
from toto_jax.training.task import Batch, Metrics, Task
from toto_jax.tree import Params

StepFunction = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def value_and_grad(
    task: Task,
    params: Params,
    frozen: Params,
    batch: Batch,
    key: jax.Array,
    step: jax.Array,
    microbatches: int,
) -> tuple[jax.Array, Metrics, Params]:
    """Returns loss, metrics and gradients of a batch taken in equal parts, one after the other.

    The loss gets `frozen` among its parameters; gradients are those of `params` alone.

    Parts have the same number of targets, so the mean of their gradients is the batch's gradient (but for what a loss
    takes over its whole batch, like a batch norm). It is summed up over the parts first and then, once, over the
    replicas of the parameters.
    """

    def loss_of(params: Params, frozen: Params, *given: Any) -> tuple[jax.Array, Metrics]:
        return task.loss({**params, **frozen}, *given)

    grad_fn = jax.value_and_grad(loss_of, has_aux=True)
    if microbatches == 1:
        (loss, metrics), grads = grad_fn(params, frozen, batch, key, step)
        return loss, metrics, grads

    def accumulate(
        whole: tuple[Params, Params], batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[tuple[jax.Array, Params], Metrics]:
        def one(total: Any, part: tuple[jax.Array, Batch]) -> tuple[Any, None]:
            index, microbatch = part
            found = grad_fn(*whole, microbatch, jax.random.fold_in(key, index), step)
            return jax.tree.map(jnp.add, total, found), None

        # Row r goes to part r % microbatches, so that every part is spread over all devices.
        parts = jax.tree.map(
            lambda x: jnp.moveaxis(x.reshape(x.shape[0] // microbatches, microbatches, *x.shape[1:]), 1, 0),
            batch,
        )
        first = jax.tree.map(lambda x: x[0], parts)
        zeros = jax.tree.map(
            lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(grad_fn, *whole, first, key, step)
        )
        ((loss, metrics), grads), _ = jax.lax.scan(one, zeros, (jnp.arange(microbatches), parts))
        return jax.tree.map(lambda x: x / microbatches, (loss, grads)), metrics

    (loss, grads), metrics = over_replicas(accumulate)((params, frozen), batch, key, step)
    return loss, metrics, grads


def train_step(
    state: TrainState,
    batch: Batch,
    *,
    task: Task,
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule,
    seed: int,
    ema: float,
    microbatches: int,
) -> tuple[TrainState, Metrics]:
    """Takes one step, or skips it when the loss or the gradient isn't finite.

    A skipped step leaves parameters, moments, averages and the schedule's count bitwise as they were; only `step` goes
    on, so that the data does. The decision is made from global values inside the program, hence is the same everywhere.

    Returns:
      The next state, and the task's metrics with `grad_norm`, `learning_rate`, `bad_steps`, `bad_steps_in_a_row`.
    """
    key = jax.random.fold_in(jax.random.key(seed), state.step + 1)  # 0 is the initialisation's
    updates_so_far = state.step - state.bad_steps
    loss, metrics, grads = value_and_grad(
        task, state.params, state.frozen, batch, key, updates_so_far, microbatches
    )
    grad_norm = optax.tree.norm(grads)
    good = jnp.isfinite(loss) & jnp.isfinite(grad_norm)

    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    average = (
        None
        if state.ema is None
        else jax.tree.map(lambda old, new: ema * old + (1 - ema) * new, state.ema, params)
    )
    params, opt_state, average = jax.tree.map(
        lambda new, old: jnp.where(good, new, old),
        (params, opt_state, average),
        (state.params, state.opt_state, state.ema),
    )
    bad = 1 - good.astype(jnp.int32)
    new_state = TrainState(
        step=state.step + 1,
        params=params,
        opt_state=opt_state,
        ema=average,
        bad_steps=state.bad_steps + bad,
        bad_steps_in_a_row=(state.bad_steps_in_a_row + bad) * bad,
        frozen=state.frozen,
    )
    one = jnp.float32(1)
    metrics = {
        **metrics,
        "grad_norm": (grad_norm, one),
        "learning_rate": (jnp.asarray(schedule(updates_so_far), jnp.float32), one),
        "bad_steps": (new_state.bad_steps.astype(jnp.float32), one),
        "bad_steps_in_a_row": (new_state.bad_steps_in_a_row.astype(jnp.float32), one),
    }
    return new_state, metrics
