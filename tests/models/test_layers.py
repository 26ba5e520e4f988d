"""Linear maps with a written-out gradient, RMS normalisation and SwiGLU against NumPy and autodiff."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from toto_jax.models.functional import Functional
from toto_jax.models.layers import RMSNorm, SwiGLU, linear


@pytest.mark.parametrize("shape", [(5, 3), (2, 7, 3), (2, 2, 4, 3)])
def test_linear_has_autodiff_s_gradients(shape: tuple[int, ...]) -> None:
    keys = jax.random.split(jax.random.key(0), 3)
    x, w = jax.random.normal(keys[0], shape), jax.random.normal(keys[1], (3, 6))
    dy = jax.random.normal(keys[2], (*shape[:-1], 6))
    y, pull = jax.vjp(linear, x, w)
    expected, expected_pull = jax.vjp(jnp.matmul, x, w)
    np.testing.assert_allclose(y, expected, rtol=1e-6)
    for got, want in zip(pull(dy), expected_pull(dy), strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-6)


def test_the_weight_gradient_of_bfloat16_activations_is_not_rounded_to_bfloat16() -> None:
    x = jax.random.normal(jax.random.key(0), (512, 4), jnp.bfloat16)
    w = jnp.ones((4, 4), jnp.float32)
    y, pull = jax.vjp(linear, x, w)
    dx, dw = pull(jnp.ones_like(y))
    assert y.dtype == dx.dtype == jnp.bfloat16
    assert dw.dtype == jnp.float32
    exact = np.broadcast_to(np.asarray(x, np.float64).sum(0)[:, None], (4, 4))
    np.testing.assert_allclose(dw, exact, rtol=1e-5)
    assert not np.array_equal(dw, dw.astype(jnp.bfloat16).astype(jnp.float32))


def test_logits_may_be_wider_than_the_activations() -> None:
    x, w = jnp.full((1, 3), 1 / 3, jnp.bfloat16), jnp.ones((3, 2))
    y, pull = jax.vjp(lambda x, w: linear(x, w, jnp.float32), x, w)
    assert y.dtype == jnp.float32
    dx, dw = pull(jnp.ones_like(y))
    assert (dx.dtype, dw.dtype) == (jnp.bfloat16, jnp.float32)


def test_rms_norm_by_hand_and_in_float32() -> None:
    norm = Functional(lambda rngs: RMSNorm(2, 1.0, rngs))
    gain = {"gain": jnp.array([1.0, 2.0])}
    # mean of squares (9 + 25) / 2 = 17, plus eps 1: the root of 18.
    np.testing.assert_allclose(norm.bind(gain)(jnp.array([3.0, 5.0])), [3 / 18**0.5, 10 / 18**0.5], rtol=1e-6)


def test_rms_norm_of_bfloat16_is_rounded_only_once() -> None:
    norm = Functional(lambda rngs: RMSNorm(256, 1e-6, rngs)).bind({"gain": jnp.full(256, 1.1)})
    x = jax.random.normal(jax.random.key(0), (64, 256), jnp.bfloat16)
    exact = np.asarray(x, np.float64)
    exact = exact / np.sqrt(np.square(exact).mean(-1, keepdims=True) + 1e-6) * 1.1
    out = norm(x)
    assert out.dtype == jnp.bfloat16
    assert np.mean(np.asarray(out) == exact.astype(jnp.bfloat16)) > 0.999


def test_swiglu_against_numpy() -> None:
    mlp = Functional(lambda rngs: SwiGLU(3, 5, nnx.initializers.normal(1.0), rngs))
    params = mlp.init(jax.random.key(0))
    x = np.random.default_rng(0).normal(size=(4, 3))
    gate, up, down = (np.asarray(params[name], np.float64) for name in ("gate", "up", "down"))
    gated = x @ gate
    expected = (gated / (1 + np.exp(-gated)) * (x @ up)) @ down
    np.testing.assert_allclose(mlp.bind(params)(jnp.asarray(x)), expected, rtol=1e-4, atol=1e-5)
