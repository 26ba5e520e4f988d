"""AdamW with warm-up and cosine decay (paper section 3.2)."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from toto_jax.errors import ConfigError
from toto_jax.models.parametrisation import standard
from toto_jax.tree import map_with_axes, matrices

_ASSIGNED = "running_codes"


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Attributes:
    learning_rate: at the end of the warm-up.
    end_learning_rate: after `decay_steps`.
    warmup_steps: of linear rise from 0.
    decay_steps: from the start to the end rate; 0 for the whole run.
    b1, b2, eps: Adam's.
    weight_decay: times the learning rate, on matrices only.
    clip_norm: bound of the gradient's global norm; 0 turns it off.
    ema: decay of averaged parameters; 0 turns them off.
    """

    learning_rate: float
    end_learning_rate: float
    warmup_steps: int
    decay_steps: int
    b1: float
    b2: float
    eps: float
    weight_decay: float
    clip_norm: float
    ema: float

    def __post_init__(self) -> None:
        if self.learning_rate <= 0:
            raise ConfigError(f"config.optimizer.learning_rate must be positive, got {self.learning_rate}")
        if self.warmup_steps < 0:
            raise ConfigError(f"config.optimizer.warmup_steps must be 0 or more, got {self.warmup_steps}")
        if self.decay_steps < 0:
            raise ConfigError(f"config.optimizer.decay_steps must be 0 or more, got {self.decay_steps}")
        if not 0 <= self.ema < 1:
            raise ConfigError(f"config.optimizer.ema must be in [0, 1), got {self.ema}")


def learning_rate_schedule(config: OptimizerConfig, steps: int) -> optax.Schedule:
    """Returns update count (0 is the first) -> learning rate: linear warm-up, then half a cosine down to the end rate.

    The first update has a warm-up's first share, not zero; the last of the decay, and all behind it, the end rate.

    Raises:
      ConfigError: if the warm-up is not shorter than the decay.
    """
    decay, key = (
        (config.decay_steps, "optimizer.decay_steps") if config.decay_steps else (steps, "train.steps")
    )
    if config.warmup_steps >= decay:
        raise ConfigError(
            f"config.optimizer.warmup_steps={config.warmup_steps} is not shorter than config.{key}={decay}; "
            f"about {max(decay // 20, 1)} would do"
        )
    schedule = optax.warmup_cosine_decay_schedule(
        init_value=0.0 if config.warmup_steps else config.learning_rate,
        peak_value=config.learning_rate,
        warmup_steps=config.warmup_steps,
        decay_steps=decay,
        end_value=config.end_learning_rate,
    )
    return lambda updates: schedule(updates + 1)


def make_optimizer(
    config: OptimizerConfig, steps: int, axes: Any, scales: Any = None
) -> optax.GradientTransformation:
    """Returns the chain: clip by global norm, Adam, decoupled decay of matrices, learning rate.

    Hyper-parameters live in the config and never in the optimizer's state, so a changed config takes effect on resume.

    Parameters with a logical axis `running_codes` take no part in this: they are set by `assign`.

    Args:
      config: the settings.
      steps: length of the run.
      axes: tree of logical axes, which tells matrices from gains and biases.
      scales: tree of each parameter's own factors, `models.parametrisation.Scale`; all 1 by default.
    """
    schedule = learning_rate_schedule(config, steps)
    scales = standard(axes) if scales is None else scales
    # The decay comes with the optimizer's own rate in front, so a factor of the rate counts for it too.
    decay = jax.tree.map(
        lambda matrix, scale: config.weight_decay * scale.weight_decay if matrix else 0.0,
        matrices(axes),
        scales,
    )
    clip = [optax.clip_by_global_norm(config.clip_norm)] if config.clip_norm else []
    chain = optax.chain(
        *clip,
        # A gradient times a factor is, to Adam, its epsilon divided by the factor.
        _times(jax.tree.map(lambda scale: 1 / scale.epsilon, scales)),
        optax.scale_by_adam(b1=config.b1, b2=config.b2, eps=config.eps),
        _decayed(decay),
        _times(jax.tree.map(lambda scale: scale.learning_rate, scales)),
        optax.scale_by_learning_rate(schedule),
    )
    assigned = map_with_axes(lambda names: _ASSIGNED in names, axes)
    return _with_assigned(chain, assigned) if any(jax.tree.leaves(assigned)) else chain


def _times(factors: Any) -> optax.GradientTransformation:
    """Multiplies each update by its own factor."""
    return optax.stateless(
        lambda updates, _: jax.tree.map(lambda x, by: x if by == 1 else x * by, updates, factors)
    )


def _decayed(decay: Any) -> optax.GradientTransformation:
    """Adds to each update its parameter times its own decay."""
    return optax.stateless(
        lambda updates, params: jax.tree.map(lambda x, by, p: x + by * p if by else x, updates, decay, params)
    )


def assign(parameter: jax.Array, value: jax.Array) -> jax.Array:
    """Returns a term of a loss, zero by value, with which the next step sets `parameter` to `value`.

    The parameter must have a logical axis `running_codes`, and no other term may depend on it. That is how running
    averages are kept without a step of their own: over microbatches and replicas the mean of the values is set.
    """
    term = jnp.vdot(jax.lax.stop_gradient(parameter - value), parameter)
    return term - jax.lax.stop_gradient(term)


def _with_assigned(inner: optax.GradientTransformation, assigned: Any) -> optax.GradientTransformation:
    """Takes the gradients of assigned parameters as they are, and keeps them out of the others' norm."""

    def update(grads: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        learned = jax.tree.map(lambda grad, is_set: jnp.zeros_like(grad) if is_set else grad, grads, assigned)
        updates, state = inner.update(learned, state, params)
        return jax.tree.map(
            lambda step, grad, is_set: -grad if is_set else step, updates, grads, assigned
        ), state

    return optax.GradientTransformation(inner.init, update)
