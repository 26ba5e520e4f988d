"""Rotary position embedding (2104.09864, section 3.2.2), rotate-half form: dimension i turns with i + H/2.

The paper's position is the flat index in the sequence (section 3.2), which knows nothing of rows or frames. With a
grid, each dimension turns by a code's frame, row or column. Weights written for the interleaved form (dimension 2i
turns with 2i + 1) need their rows permuted first.

Shapes: B sequences, T positions, N heads, H size of a head.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

Rotary = tuple[jax.Array, jax.Array]


def rotary_tables(coordinates_T: Sequence[jax.Array], head_dim: int, base: float) -> Rotary:
    """Returns cosines and sines of each position's angles, float32, both of shape (T, head_dim / 2).

    Args:
      coordinates_T: of the positions, any integer dtype: the flat index alone, or several, which take frequencies in
        turn, so that each has slow and fast ones.
      head_dim: size of a head, even.
      base: wavelengths reach from 2 pi to 2 pi * base; 10,000 in pre-training.
    """
    frequencies = base ** (-jnp.arange(0, head_dim, 2, dtype=jnp.float32) / head_dim)
    count = len(coordinates_T)
    # Sums of products, which every device computes for itself wherever it needs them.
    angles = sum(
        coordinate_T.astype(jnp.float32)[:, None]
        * jnp.where(jnp.arange(head_dim // 2) % count == index, frequencies, 0)
        for index, coordinate_T in enumerate(coordinates_T)
    )
    return jnp.cos(angles), jnp.sin(angles)


def on_grid(positions_T: jax.Array, grid: tuple[int, int]) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns frame, row and column of positions in a sequence whose codes begin behind a start token.

    The start token stands in frame 0, codes from frame 1 on, and an end token where a next frame would begin.

    Args:
      positions_T: flat positions.
      grid: (rows, columns) of a frame's codes.
    """
    rows, columns = grid
    code_T = positions_T - 1
    is_code = code_T >= 0
    frame_T = jnp.where(is_code, code_T // (rows * columns) + 1, 0)
    row_T = jnp.where(is_code, code_T // columns % rows, 0)
    return frame_T, row_T, jnp.where(is_code, code_T % columns, 0)


def rotate(x_BTNH: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
    """Returns queries or keys turned by their positions' angles (in float32), in the dtype of `x_BTNH`."""
    first, second = jnp.split(x_BTNH.astype(jnp.float32), 2, axis=-1)
    cos, sin = cos[:, None, :], sin[:, None, :]
    turned = jnp.concatenate((first * cos - second * sin, second * cos + first * sin), axis=-1)
    return turned.astype(x_BTNH.dtype)
