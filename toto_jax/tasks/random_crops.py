"""Random squares of resized frames: how DALL-E's dVAE saw its pictures (2102.12092, listing 1).

Shapes: B clips, F frames, H = W = S pixels, C colours, O pixels of a square's side.
"""

import jax
import jax.numpy as jnp

# Areas are simple fractions, so that halves between two pixel values are common; they go up, in whatever order a
# compiler takes the sums.
_TIE = 1e-3


def random_crops(pixels_BFHWC: jax.Array, key: jax.Array, size: int, sides: tuple[int, int]) -> jax.Array:
    """Returns uint8 squares of `size` pixels, all frames of a clip cut alike.

    Each clip is resized to a random whole number of pixels, each new pixel being the mean of the area that it covers,
    and cut at a random place.

    Args:
      pixels_BFHWC: uint8, square.
      key: of the draws.
      size: side of the squares, in pixels.
      sides: least and most pixels that a clip's side is resized to, both possible; from `size` to S.
    """
    clips, stored = pixels_BFHWC.shape[0], pixels_BFHWC.shape[2]
    side_key, *corner_keys = jax.random.split(key, 3)
    side_B = jax.random.randint(side_key, (clips,), sides[0], sides[1] + 1)
    rows_BOS, columns_BOS = (
        area_weights(jax.random.randint(corner, (clips,), 0, side_B - size + 1), side_B, size, stored)
        for corner in corner_keys
    )
    # Three factors one after the other, in full: on a GPU or a TPU rounded ones would shift whole pictures' colours.
    cut = jnp.einsum(
        "bos,bfstc,bpt->bfopc",
        rows_BOS,
        pixels_BFHWC.astype(jnp.float32),
        columns_BOS,
        precision="highest",
    )
    return jnp.floor(cut + 0.5 + _TIE).astype(jnp.uint8)


def area_weights(first_B: jax.Array, side_B: jax.Array, size: int, stored: int) -> jax.Array:
    """Returns weights_BOS with which S stored pixels make `size` of the pixels that a line resized to `side` has.

    Args:
      first_B: the first of them.
      side_B: pixels of the resized line, at most S.
      size: O, how many are wanted.
      stored: S.
    """
    step_B11 = stored / side_B[:, None, None]
    starts_BO1 = (first_B[:, None, None] + jnp.arange(size)[:, None]) * step_B11
    pixel_S = jnp.arange(stored)
    ends, begins = jnp.minimum(starts_BO1 + step_B11, pixel_S + 1), jnp.maximum(starts_BO1, pixel_S)
    return jnp.clip(ends - begins, 0) / step_B11
