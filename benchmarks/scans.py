"""Mamba's selective scan as work to be timed: ours in chunks, and the recurrence position by position.

Shapes: B sequences, T positions, I channels, N values of a channel's state.
"""

import jax
import jax.numpy as jnp

from benchmarks.ours import Contestant
from toto_jax.models.selective_scan import selective_scan

STATES = 16  # as published


def gradient(positions: int, channels: int, chunk: int) -> Contestant:
    """Output and gradients of one layer's scan over one sequence; a chunk of 0 is the recurrence as it is written."""
    keys = iter(jax.random.split(jax.random.key(0), 6))

    def normal(*shape: int) -> jax.Array:
        return jax.random.normal(next(keys), shape)

    shape = (1, positions, channels)
    inputs = (
        normal(*shape), 0.1 * jax.nn.softplus(normal(*shape)), -jnp.exp(normal(STATES, channels)),
        normal(1, positions, STATES), normal(1, positions, STATES),
    )  # fmt: skip
    weights_BTI = normal(*shape)

    def loss(*given: jax.Array) -> jax.Array:
        empty_BNI = jnp.zeros((1, STATES, channels))
        y_BTI = selective_scan(*given, empty_BNI, chunk)[0] if chunk else recurrence(*given)
        return (weights_BTI * y_BTI).sum()

    step = jax.jit(jax.value_and_grad(loss, tuple(range(len(inputs))))).lower(*inputs).compile()
    memory = step.memory_analysis()
    facts = {"tokens": positions, "temporary_bytes": memory and memory.temp_size_in_bytes}
    return facts, lambda: jax.block_until_ready(step(*inputs)) and None


def recurrence(
    u_BTI: jax.Array, delta_BTI: jax.Array, a_NI: jax.Array, b_BTN: jax.Array, c_BTN: jax.Array
) -> jax.Array:
    """Returns y_BTI of h_t = exp(delta_t A) h_(t-1) + delta_t B_t u_t, y_t = C_t h_t, one position after another."""

    def step(h_BNI: jax.Array, given: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        u_BI, delta_BI, b_BN, c_BN = given
        h_BNI = jnp.exp(delta_BI[:, None] * a_NI) * h_BNI + b_BN[..., None] * (delta_BI * u_BI)[:, None]
        return h_BNI, jnp.einsum("BNI,BN->BI", h_BNI, c_BN)

    empty_BNI = jnp.zeros((len(u_BTI), *a_NI.shape))
    by_position = tuple(x.swapaxes(0, 1) for x in (u_BTI, delta_BTI, b_BTN, c_BTN))
    return jax.lax.scan(step, empty_BNI, by_position)[1].swapaxes(0, 1)
