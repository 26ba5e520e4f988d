"""Parameters that are set to a value rather than learned."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toto_jax.training.optimizer import OptimizerConfig, assign, make_optimizer

CONFIG = OptimizerConfig(
    learning_rate=0.1, end_learning_rate=0.0, warmup_steps=0, decay_steps=0, b1=0.9, b2=0.99, eps=1e-8,
    weight_decay=0.1, clip_norm=1.0, ema=0.0,
)  # fmt: skip
AXES = {"running": ("running_codes", None), "weight": ("embed", "mlp")}
PARAMS = {"running": jnp.ones((4, 2)), "weight": jnp.full((3, 3), 2.0)}


def test_the_term_is_zero_and_a_step_sets_the_value() -> None:
    """However large the step, however small the bound of the gradient's norm."""
    target = jnp.arange(8.0).reshape(4, 2) * 100
    optimizer = make_optimizer(CONFIG, 10, AXES)

    def loss(params: dict[str, jax.Array]) -> jax.Array:
        return jnp.square(params["weight"]).sum() + assign(params["running"], target + 0 * params["running"])

    value, grads = jax.value_and_grad(loss)(PARAMS)
    assert float(value) == 36
    updates, _ = optimizer.update(grads, optimizer.init(PARAMS), PARAMS)
    np.testing.assert_allclose(PARAMS["running"] + updates["running"], target, rtol=1e-6)


def test_what_is_learned_does_not_notice() -> None:
    """Its step is the one that it takes alone: the set parameter has no part in the norm that is bounded."""
    grads = {"running": jnp.full((4, 2), 1e3), "weight": jnp.full((3, 3), 0.5)}
    both, alone = make_optimizer(CONFIG, 10, AXES), make_optimizer(CONFIG, 10, {"weight": AXES["weight"]})
    updates, _ = both.update(grads, both.init(PARAMS), PARAMS)
    params = {"weight": PARAMS["weight"]}
    wanted, _ = alone.update({"weight": grads["weight"]}, alone.init(params), params)
    np.testing.assert_array_equal(updates["weight"], wanted["weight"])


def test_parts_of_a_batch_set_their_mean() -> None:
    grads = [jax.grad(lambda p, v=v: assign(p, jnp.full((2,), v)))(jnp.ones(2)) for v in (3.0, 5.0)]
    np.testing.assert_allclose(jnp.ones(2) - sum(grads) / 2, [4.0, 4.0])
    assert float(sum(grads)[0]) == pytest.approx(-6)
