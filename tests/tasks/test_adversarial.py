"""The one-pass loss against the two of the paper, differentiated one after the other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toto_jax.tasks.adversarial import Opinion, adaptive_weight, as_loss, hinge_loss, opinion

PICTURES = jax.random.normal(jax.random.key(0), (2, 4, 4, 3))


def score(x: jax.Array) -> jax.Array:
    return jnp.sin(3 * x).mean(-1) + 0.1 * jnp.square(x).sum((1, 2, 3))[:, None, None]


def loss_of(x: jax.Array) -> jax.Array:
    return -score(x).mean()


def test_the_opinion_has_the_value_and_the_gradient_of_the_discriminators_score() -> None:
    def through(x: jax.Array) -> jax.Array:
        return as_loss(opinion(loss_of, x), x)

    wanted, gradient = jax.value_and_grad(loss_of)(PICTURES)
    found, ours = jax.value_and_grad(through)(PICTURES)
    assert float(found) == pytest.approx(float(wanted), rel=1e-6)
    np.testing.assert_allclose(ours, gradient, rtol=1e-6)


def test_no_gradient_reaches_the_discriminator() -> None:
    def loss(scale: jax.Array) -> jax.Array:
        return as_loss(opinion(lambda x: scale * loss_of(x), PICTURES), PICTURES)

    assert float(jax.grad(loss)(jnp.float32(2))) == 0


def test_the_weight_balances_both_pulls_at_the_last_layer() -> None:
    features = jax.random.normal(jax.random.key(1), (2, 4, 4, 5))
    kernel = jax.random.normal(jax.random.key(2), (5, 3))
    truth = jax.random.normal(jax.random.key(3), PICTURES.shape)

    def paint(kernel: jax.Array) -> jax.Array:
        return features @ kernel

    painted = paint(kernel)
    pulls = [
        jnp.linalg.norm(jax.grad(loss)(kernel))
        for loss in (lambda k: jnp.abs(paint(k) - truth).mean(), lambda k: loss_of(paint(k)))
    ]
    sign = jnp.sign(painted - truth) / truth.size
    found = adaptive_weight(paint, kernel, sign, opinion(loss_of, painted))
    assert float(found) == pytest.approx(float(pulls[0] / (pulls[1] + 1e-4)), rel=1e-5)


def test_a_discriminator_without_an_opinion_weighs_no_more_than_the_bound() -> None:
    silent = Opinion(jnp.float32(0), jnp.zeros_like(PICTURES))
    kernel = jnp.ones((3, 3))
    found = adaptive_weight(lambda k: PICTURES @ k, kernel, 1e3 * jnp.ones_like(PICTURES), silent)
    assert float(found) == 1e4


def test_the_hinge_worked_out() -> None:
    """Real logits 2 and 0 cost 0 and 1, painted ones -3 and 1 cost 0 and 2."""
    assert float(hinge_loss(jnp.array([2.0, 0.0]), jnp.array([-3.0, 1.0]))) == pytest.approx(
        0.5 * (0.5 + 1.0)
    )
