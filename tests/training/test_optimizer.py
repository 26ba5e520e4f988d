import dataclasses

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from toto_jax.errors import ConfigError
from toto_jax.training.optimizer import OptimizerConfig, learning_rate_schedule, make_optimizer

PAPER = OptimizerConfig(
    learning_rate=3e-4,
    end_learning_rate=0.0,
    warmup_steps=2_000,
    decay_steps=0,
    b1=0.9,
    b2=0.95,
    eps=1e-8,
    weight_decay=0.05,
    clip_norm=1.0,
    ema=0.0,
)


def test_the_papers_schedule_by_hand() -> None:
    schedule = learning_rate_schedule(PAPER, 10_000)
    # Update n (from 0) has the rate of position n + 1: a 2,000th of the peak first, the peak at the 2,000th update.
    assert float(schedule(0)) == pytest.approx(3e-4 / 2_000, rel=1e-4)
    assert float(schedule(999)) == pytest.approx(1.5e-4)
    assert float(schedule(1_999)) == pytest.approx(3e-4)
    assert float(schedule(5_999)) == pytest.approx(1.5e-4, rel=1e-3)
    assert float(schedule(9_999)) == pytest.approx(0, abs=1e-12)


def test_a_decay_that_ends_before_the_run() -> None:
    config = dataclasses.replace(PAPER, warmup_steps=0, decay_steps=100, end_learning_rate=1e-4)
    schedule = learning_rate_schedule(config, 1_000)
    assert float(schedule(49)) == pytest.approx(2e-4)
    assert [float(schedule(update)) for update in (99, 100, 999)] == pytest.approx([1e-4] * 3)
    with pytest.raises(ConfigError, match="not shorter than config.optimizer.decay_steps=2000"):
        learning_rate_schedule(dataclasses.replace(PAPER, decay_steps=2_000), 10_000)
    with pytest.raises(ConfigError, match="decay_steps must be 0 or more, got -1"):
        dataclasses.replace(PAPER, decay_steps=-1)


def test_a_warm_up_as_long_as_the_run_is_an_error() -> None:
    with pytest.raises(
        ConfigError, match="warmup_steps=2000 is not shorter than config.train.steps=100; about 5"
    ):
        learning_rate_schedule(PAPER, 100)


def test_only_matrices_decay() -> None:
    config = dataclasses.replace(
        PAPER, warmup_steps=0, learning_rate=0.1, end_learning_rate=0.1, clip_norm=0.0
    )
    params = {"matrix": jnp.ones((2, 2)), "gain": jnp.ones((2,))}
    optimizer = make_optimizer(config, 10, {"matrix": ("embed", "mlp"), "gain": ("norm",)})
    zeros = {"matrix": jnp.zeros((2, 2)), "gain": jnp.zeros((2,))}
    updates, _ = optimizer.update(zeros, optimizer.init(params), params)
    np.testing.assert_allclose(updates["matrix"], -0.1 * 0.05 * np.ones((2, 2)), rtol=1e-6)
    np.testing.assert_array_equal(updates["gain"], np.zeros(2))


def test_the_gradient_is_clipped_by_its_global_norm() -> None:
    """Adam forgets scale on the first step, so the clip shows in the second moment."""
    config = dataclasses.replace(PAPER, warmup_steps=0)
    params = {"a": jnp.zeros((2, 2)), "b": jnp.zeros((1, 1))}
    axes = {"a": ("embed", "mlp"), "b": ("embed", "mlp")}
    optimizer = make_optimizer(config, 10, axes)
    gradient = {"a": jnp.full((2, 2), 6.0), "b": jnp.full((1, 1), 5.0)}  # norm 13
    _, state = optimizer.update(gradient, optimizer.init(params), params)
    second_moment = optax.tree.get(state, "nu")
    np.testing.assert_allclose(second_moment["a"], 0.05 * (6 / 13) ** 2 * np.ones((2, 2)), rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"), [({"learning_rate": 0.0}, "positive"), ({"ema": 1.0}, r"\[0, 1\)")]
)
def test_impossible_settings_are_errors(change: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(PAPER, **change)
