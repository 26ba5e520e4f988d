"""The parts of a block that know nothing of sequences: linear maps, RMS normalisation, SwiGLU.

Shapes: ... any leading dimensions, D and E widths, M width of the feed-forward.
"""

import functools

import jax
import jax.numpy as jnp
from flax import nnx

from toto_jax.models.functional import Initializer, parameter


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def linear(x_D: jax.Array, w_DE: jax.Array, dtype: jnp.dtype | None = None) -> jax.Array:
    """Returns `x @ w` with `w` cast to the dtype of `x`.

    The gradient is written out for two reasons. XLA's CPU backend runs the form that autodiff leaves of the
    weight's gradient (a dot transposed on both sides) several times slower than `x.T @ dy`; and this way the
    float32 master weight gets the float32 sum, where autodiff would round it to the compute dtype first.

    Args:
      x_D: activations, shape (..., D).
      w_DE: weight, shape (D, E), usually float32.
      dtype: of the result; None for that of `x`. Logits ask for float32.
    """
    return _product(x_D, w_DE, dtype)


def _product(x_D: jax.Array, w_DE: jax.Array, dtype: jnp.dtype | None) -> jax.Array:
    return jnp.dot(x_D, w_DE.astype(x_D.dtype), preferred_element_type=dtype or x_D.dtype)


def _linear_forward(
    x_D: jax.Array, w_DE: jax.Array, dtype: jnp.dtype | None
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    # Not `linear` itself: remat policies don't look for products inside of a function with its own gradient.
    return _product(x_D, w_DE, dtype), (x_D, w_DE)


def _linear_backward(
    dtype: jnp.dtype | None, saved: tuple[jax.Array, jax.Array], dy_E: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x_D, w_DE = saved
    dy_E = dy_E.astype(x_D.dtype)
    dx_D = jnp.dot(dy_E, w_DE.astype(x_D.dtype).T)
    rows = x_D.reshape(-1, x_D.shape[-1])
    dw_DE = jnp.dot(rows.T, dy_E.reshape(-1, dy_E.shape[-1]), preferred_element_type=jnp.float32)
    return dx_D, dw_DE.astype(w_DE.dtype)


linear.defvjp(_linear_forward, _linear_backward)


class RMSNorm(nnx.Module):
    """x / sqrt(mean(x^2) + eps) * gain, computed in float32 (1910.07467)."""

    def __init__(self, size: int, eps: float, rngs: nnx.Rngs, axis: str = "norm"):
        self.gain = parameter(rngs, (size,), (axis,), nnx.initializers.ones)
        self.eps = eps

    def __call__(self, x_D: jax.Array) -> jax.Array:
        wide_D = x_D.astype(jnp.float32)
        scale = jax.lax.rsqrt(jnp.mean(jnp.square(wide_D), axis=-1, keepdims=True) + self.eps)
        return (wide_D * scale * self.gain[...]).astype(x_D.dtype)


class LayerNorm(nnx.Module):
    """(x - mean(x)) / sqrt(variance(x) + eps) * gain + bias, computed in float32 (1607.06450)."""

    def __init__(self, size: int, eps: float, rngs: nnx.Rngs):
        self.gain = parameter(rngs, (size,), ("norm",), nnx.initializers.ones)
        self.bias = parameter(rngs, (size,), ("bias",), nnx.initializers.zeros)
        self.eps = eps

    def __call__(self, x_D: jax.Array) -> jax.Array:
        wide_D = x_D.astype(jnp.float32)
        centred_D = wide_D - jnp.mean(wide_D, axis=-1, keepdims=True)
        scale = jax.lax.rsqrt(jnp.mean(jnp.square(centred_D), axis=-1, keepdims=True) + self.eps)
        return (centred_D * scale * self.gain[...] + self.bias[...]).astype(x_D.dtype)


class SwiGLU(nnx.Module):
    """down(silu(gate(x)) * up(x)) (2002.05202), without biases."""

    def __init__(self, d_model: int, d_ff: int, init: Initializer, rngs: nnx.Rngs):
        self.gate = parameter(rngs, (d_model, d_ff), ("embed", "mlp"), init)
        self.up = parameter(rngs, (d_model, d_ff), ("embed", "mlp"), init)
        self.down = parameter(rngs, (d_ff, d_model), ("mlp", "embed"), init)

    def __call__(self, x_D: jax.Array) -> jax.Array:
        hidden_M = jax.nn.silu(linear(x_D, self.gate[...])) * linear(x_D, self.up[...])
        return linear(hidden_M, self.down[...])


class GELUFeedForward(nnx.Module):
    """down(gelu(up(x))) with biases; GELU by its tanh form, as GPT-2 has it (1606.08415)."""

    def __init__(self, d_model: int, d_ff: int, init: Initializer, down_init: Initializer, rngs: nnx.Rngs):
        zeros = nnx.initializers.zeros
        self.up = parameter(rngs, (d_model, d_ff), ("embed", "mlp"), init)
        self.up_bias = parameter(rngs, (d_ff,), ("bias",), zeros)
        self.down = parameter(rngs, (d_ff, d_model), ("mlp", "embed"), down_init)
        self.down_bias = parameter(rngs, (d_model,), ("branch_bias",), zeros)

    def __call__(self, x_D: jax.Array) -> jax.Array:
        hidden_M = linear(x_D, self.up[...]) + self.up_bias[...].astype(x_D.dtype)
        return linear(jax.nn.gelu(hidden_M, approximate=True), self.down[...]) + self.down_bias[...].astype(
            x_D.dtype
        )
