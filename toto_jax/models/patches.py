"""Frames as a sequence of continuous patches (paper, Table 3), and what stands before and after a decoder of them.

Shapes: B clips, F frames, H x W pixels, C = 3 colours, N patches of a clip, P = side * side * C values of a
patch, T positions, D model width, V outputs of a position.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from toto_jax.models.decoder import DecoderConfig
from toto_jax.models.functional import parameter
from toto_jax.models.layers import linear
from toto_jax.sharding.rules import constrain
from toto_jax.video import IMAGE_START, START_TOKENS

_VARIANCE_EPS = 1e-6


def patchify(pixels_BFHWC: jax.Array, side: int) -> jax.Array:
    """Returns patches_BNP, float32 in [-1, 1]: frames in time order, each in raster order.

    The values of a patch come by row, column and colour, as in MAE (2111.06377).

    Args:
      pixels_BFHWC: uint8, of a whole number of patches.
      side: of a patch, in pixels.
    """
    clips, frames, height, width, colours = pixels_BFHWC.shape
    grid = (clips, frames, height // side, side, width // side, side, colours)
    patches_BFhwijC = pixels_BFHWC.reshape(grid).transpose(0, 1, 2, 4, 3, 5, 6)
    patches_BNP = patches_BFhwijC.reshape(clips, -1, side * side * colours)
    return patches_BNP.astype(jnp.float32) / 127.5 - 1


def normalise(patches_BNP: jax.Array) -> jax.Array:
    """Returns (x - mean) / sqrt(variance + 1e-6) of each patch over all of its values, as MAE's `norm_pix_loss`.

    The variance is the unbiased one, with P - 1 in its denominator: MAE takes PyTorch's.
    """
    centred_BNP = patches_BNP - patches_BNP.mean(-1, keepdims=True)
    variance_BN1 = jnp.square(centred_BNP).sum(-1, keepdims=True) / (patches_BNP.shape[-1] - 1)
    return centred_BNP * jax.lax.rsqrt(variance_BN1 + _VARIANCE_EPS)


class PatchEnds(nnx.Module):
    """Start tokens, a linear embedding of patches, and a linear head.

    The embedding has a bias, unlike everything else in the decoder: without one, the first norm would make patches
    equal that differ by a factor, such as a bright even one and a brighter.

    Args:
      config: of the decoder between.
      values: P.
      outputs: V, values that the head gives.
      outputs_axis: their logical axis: "patch", or "vocabulary" for logits.
    """

    def __init__(self, config: DecoderConfig, values: int, outputs: int, outputs_axis: str, rngs: nnx.Rngs):
        size, init = config.d_model, nnx.initializers.normal(config.init_std)
        self.start = parameter(rngs, (len(START_TOKENS), size), (None, "embed"), init)
        self.patch_embedding = parameter(rngs, (values, size), ("patch", "embed"), init)
        self.patch_bias = parameter(rngs, (size,), ("bias",), nnx.initializers.zeros)
        self.head = parameter(rngs, (size, outputs), ("embed", outputs_axis), init)
        self.dtype = jnp.dtype(config.dtype)

    def embed(self, patches_BNP: jax.Array, start_B: jax.Array) -> jax.Array:
        """Returns x_BTD in the compute dtype for T = N + 1 positions: the start token, then the patches.

        Args:
          patches_BNP: as of `patchify`.
          start_B: ids of start tokens, `video.VIDEO_START` or `IMAGE_START`.
        """
        # The start's place is put in before the product, where every device along the sequence has all patches, so that
        # none has to hand positions on to its neighbour.
        patches_BTP = jnp.pad(patches_BNP.astype(self.dtype), ((0, 0), (1, 0), (0, 0)))
        patches_BTP = constrain(patches_BTP, "batch", "sequence", None)
        x_BTD = linear(patches_BTP, self.patch_embedding[...]) + self.patch_bias[...].astype(self.dtype)
        # Chosen and not looked up: XLA's partitioner ends the process on a look-up where some axes are split by hand.
        video_D, image_D = self.start[...].astype(self.dtype)
        start_BD = jnp.where((start_B == IMAGE_START)[:, None], image_D, video_D)
        first_T1 = (jnp.arange(x_BTD.shape[1]) == 0)[:, None]
        return jnp.where(first_T1, start_BD[:, None], x_BTD)

    def predict(self, x_BTD: jax.Array) -> jax.Array:
        """Returns the head's outputs_BTV, float32."""
        return linear(x_BTD, self.head[...], jnp.float32)

    def head_DV(self) -> jax.Array:
        """Returns the head's weight."""
        return self.head[...]
