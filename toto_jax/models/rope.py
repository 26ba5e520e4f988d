"""Rotary position embedding (2104.09864, section 3.2.2), rotate-half form: dimension i turns with i + H/2.

The position is the flat index in the sequence, as in the paper (section 3.2): nothing knows of rows or
frames. Weights written for the interleaved form (dimension 2i turns with 2i + 1) need their rows permuted
first.

Shapes: B sequences, T positions, N heads, H size of a head.
"""

import jax
import jax.numpy as jnp


def rotary_tables(positions_T: jax.Array, head_dim: int, base: float) -> tuple[jax.Array, jax.Array]:
    """Returns cosines and sines of each position's angles, float32, both of shape (T, head_dim / 2).

    Args:
      positions_T: flat positions, any integer dtype.
      head_dim: size of a head, even.
      base: wavelengths reach from 2 pi to 2 pi * base; 10,000 in pre-training.
    """
    frequencies = base ** (-jnp.arange(0, head_dim, 2, dtype=jnp.float32) / head_dim)
    angles = positions_T.astype(jnp.float32)[:, None] * frequencies
    return jnp.cos(angles), jnp.sin(angles)


def rotate(x_BTNH: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
    """Returns queries or keys turned by their positions' angles (in float32), in the dtype of `x_BTNH`."""
    first, second = jnp.split(x_BTNH.astype(jnp.float32), 2, axis=-1)
    cos, sin = cos[:, None, :], sin[:, None, :]
    turned = jnp.concatenate((first * cos - second * sin, second * cos + first * sin), axis=-1)
    return turned.astype(x_BTNH.dtype)
