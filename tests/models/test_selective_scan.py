"""The parallel scan against the recurrence as it is written, in float64 by NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toto_jax.models.selective_scan import selective_scan

B, T, I, N = 2, 13, 6, 4  # noqa: E741


def draw() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "u": rng.normal(size=(B, T, I)),
        "delta": np.exp(rng.normal(size=(B, T, I)) - 1),
        "a": -np.exp(rng.normal(size=(N, I))),
        "b": rng.normal(size=(B, T, N)),
        "c": rng.normal(size=(B, T, N)),
        "state": rng.normal(size=(B, N, I)),
    }


def in_turn(
    u: np.ndarray, delta: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray, state: np.ndarray
) -> tuple:
    outs = []
    for t in range(u.shape[1]):
        state = np.exp(delta[:, t, None] * a) * state + b[:, t, :, None] * (delta[:, t] * u[:, t])[:, None]
        outs.append(np.einsum("BNI,BN->BI", state, c[:, t]))
    return np.stack(outs, 1), state


@pytest.mark.parametrize("chunk", [1, 4, 13, 64])
def test_a_scan_in_chunks_is_the_recurrence(chunk: int) -> None:
    values = draw()
    want, last = in_turn(*values.values())
    got, state = jax.jit(selective_scan, static_argnums=6)(*(jnp.float32(x) for x in values.values()), chunk)
    np.testing.assert_allclose(got, want, atol=2e-5)
    np.testing.assert_allclose(state, last, atol=2e-5)


def test_gradients_are_those_of_the_recurrence() -> None:
    """By differences of the float64 recurrence along random directions."""
    values = draw()
    rng = np.random.default_rng(1)
    weights, last = rng.normal(size=(B, T, I)), rng.normal(size=(B, N, I))

    def loss(*args: jax.Array) -> jax.Array:
        y, state = selective_scan(*args, 4)
        return (y * weights).sum() + (state * last).sum()

    grads = jax.grad(loss, argnums=range(6))(*(jnp.float32(x) for x in values.values()))
    for index, (name, value) in enumerate(values.items()):
        direction = rng.normal(size=value.shape)
        ends = []
        for sign in (1, -1):
            y, state = in_turn(**{**values, name: value + sign * 1e-6 * direction})
            ends.append((y * weights).sum() + (state * last).sum())
        assert float((grads[index] * direction).sum()) == pytest.approx(
            (ends[0] - ends[1]) / 2e-6, rel=2e-4
        ), name


def test_memory_of_a_gradient_grows_with_the_chunk_and_not_with_all_states() -> None:
    """The states of all positions at once would be T N I numbers."""
    length, channels, states = 1024, 64, 64
    shapes = (
        [(1, length, channels)] * 2
        + [(states, channels)]
        + [(1, length, states)] * 2
        + [(1, states, channels)]
    )

    def temporaries(chunk: int) -> int:
        def loss(*args: jax.Array) -> jax.Array:
            return selective_scan(*args, chunk)[0].sum()

        arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
        compiled = jax.jit(jax.grad(loss, argnums=(0, 1, 2, 3, 4))).lower(*arguments).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    every_state = 4 * length * channels * states
    assert temporaries(32) < every_state < temporaries(length)
