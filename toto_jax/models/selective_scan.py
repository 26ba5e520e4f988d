"""The selective state space of Mamba (2312.00752, Algorithm 2): a linear recurrence whose factors depend on the input.

  h_t = exp(delta_t A) h_(t-1) + delta_t B_t u_t,   y_t = C_t h_t

It is computed in chunks. Within one, all states come from a parallel scan; the backward pass computes them again, so
that only the state between chunks is kept, and memory is linear in T with a small factor.

Shapes: B sequences, T positions, C positions of a chunk, I channels, N values of a channel's state.
"""

import jax
import jax.numpy as jnp


def selective_scan(
    u_BTI: jax.Array,
    delta_BTI: jax.Array,
    a_NI: jax.Array,
    b_BTN: jax.Array,
    c_BTN: jax.Array,
    state_BNI: jax.Array,
    chunk: int,
) -> tuple[jax.Array, jax.Array]:
    """Returns y_BTI and the state behind the last position, all float32.

    Args:
      u_BTI: inputs.
      delta_BTI: steps, positive.
      a_NI: rates, negative.
      b_BTN: what goes into the states.
      c_BTN: what is read from them.
      state_BNI: before the first position.
      chunk: C, positions whose states are held at once.
    """
    batch, length, channels = u_BTI.shape
    size = min(chunk, length)
    # A step of 0 leaves a state as it is.
    missing = -length % size

    def split(x_BTX: jax.Array) -> jax.Array:
        x_BTX = jnp.pad(x_BTX.astype(jnp.float32), ((0, 0), (0, missing), (0, 0)))
        return x_BTX.reshape(batch, -1, size, x_BTX.shape[2]).swapaxes(0, 1)

    def over_chunk(state_BNI: jax.Array, given: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        u_BCI, delta_BCI, b_BCN, c_BCN = given
        kept_BCNI = jnp.exp(delta_BCI[:, :, None] * a_NI)
        added_BCNI = b_BCN[..., None] * (delta_BCI * u_BCI)[:, :, None]
        decays_BCNI, sums_BCNI = jax.lax.associative_scan(_two_steps, (kept_BCNI, added_BCNI), axis=1)
        states_BCNI = decays_BCNI * state_BNI[:, None] + sums_BCNI
        y_BCI = jnp.einsum("BCNI,BCN->BCI", states_BCNI, c_BCN)
        return states_BCNI[:, -1], y_BCI

    chunks = tuple(split(x) for x in (u_BTI, delta_BTI, b_BTN, c_BTN))
    body = jax.checkpoint(over_chunk, prevent_cse=False)
    state_BNI, y_SBCI = jax.lax.scan(body, state_BNI.astype(jnp.float32), chunks)
    return y_SBCI.swapaxes(0, 1).reshape(batch, -1, channels)[:, :length], state_BNI


def _two_steps(
    first: tuple[jax.Array, jax.Array], second: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """Returns h -> a h + b of two such maps, one after the other."""
    return second[0] * first[0], second[0] * first[1] + second[1]
