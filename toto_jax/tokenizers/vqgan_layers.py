"""The blocks of VQGAN (2012.09841, appendix), which come from diffusion models: group norms, swish, attention.

Shapes: N frames, H x W positions, S = H*W, C channels, G groups.
"""

import math

import jax
import jax.numpy as jnp
from flax import nnx

from toto_jax.models.functional import parameter
from toto_jax.sharding.rules import constrain
from toto_jax.tokenizers.convolutions import Conv, flat_uniform

GROUPS = 32
_EPS = 1e-6


def convolution(size: int, channels_in: int, channels_out: int, rngs: nnx.Rngs, **more: object) -> Conv:
    """Returns a convolution whose kernel starts as PyTorch's do, which is how VQGAN was published."""
    bound = 1 / math.sqrt(channels_in * size**2)
    return Conv(size, channels_in, channels_out, rngs, init=flat_uniform(bound), **more)


class GroupNorm(nnx.Module):
    """(x - mean) / sqrt(variance + 1e-6) * gain + bias, over the positions and channels of each of 32 groups.

    Computed in float32.
    """

    def __init__(self, channels: int, rngs: nnx.Rngs):
        self.gain = parameter(rngs, (channels,), ("norm",), nnx.initializers.ones)
        self.bias = parameter(rngs, (channels,), ("bias",), nnx.initializers.zeros)

    def __call__(self, x_NHWC: jax.Array) -> jax.Array:
        frames, _, _, channels = x_NHWC.shape
        x_NSGC = x_NHWC.astype(jnp.float32).reshape(frames, -1, GROUPS, channels // GROUPS)
        mean = x_NSGC.mean((1, 3), keepdims=True)
        variance = jnp.square(x_NSGC - mean).mean((1, 3), keepdims=True)
        normal_NHWC = ((x_NSGC - mean) * jax.lax.rsqrt(variance + _EPS)).reshape(x_NHWC.shape)
        return (normal_NHWC * self.gain[...] + self.bias[...]).astype(x_NHWC.dtype)


class NormedBlock(nnx.Module):
    """x + conv(swish(norm(conv(swish(norm(x)))))), with a 1x1 convolution of x where channels change."""

    def __init__(self, channels_in: int, channels_out: int, rngs: nnx.Rngs):
        self.norm_1 = GroupNorm(channels_in, rngs)
        self.conv_1 = convolution(3, channels_in, channels_out, rngs)
        self.norm_2 = GroupNorm(channels_out, rngs)
        self.conv_2 = convolution(3, channels_out, channels_out, rngs)
        if channels_in != channels_out:
            self.shortcut = convolution(1, channels_in, channels_out, rngs)

    def __call__(self, x_NHWC: jax.Array) -> jax.Array:
        path_NHWC = self.conv_1(nnx.swish(self.norm_1(x_NHWC)))
        path_NHWC = self.conv_2(nnx.swish(self.norm_2(path_NHWC)))
        kept_NHWC = self.shortcut(x_NHWC) if hasattr(self, "shortcut") else x_NHWC
        return constrain(kept_NHWC + path_NHWC, "batch", None, None, None)


class SpatialAttention(nnx.Module):
    """x + attention over all positions of a frame, with one head as wide as the channels."""

    def __init__(self, channels: int, rngs: nnx.Rngs):
        self.norm = GroupNorm(channels, rngs)
        self.query = convolution(1, channels, channels, rngs)
        self.key = convolution(1, channels, channels, rngs)
        self.value = convolution(1, channels, channels, rngs)
        self.output = convolution(1, channels, channels, rngs)

    def __call__(self, x_NHWC: jax.Array) -> jax.Array:
        frames, height, width, channels = x_NHWC.shape
        normal_NHWC = self.norm(x_NHWC)
        query, key, value = (
            part(normal_NHWC).reshape(frames, height * width, 1, channels)
            for part in (self.query, self.key, self.value)
        )
        mixed_NHWC = jax.nn.dot_product_attention(query, key, value).reshape(x_NHWC.shape)
        return constrain(x_NHWC + self.output(mixed_NHWC), "batch", None, None, None)


class Middle(nnx.Module):
    """What stands at the lowest resolution: block, attention, block."""

    def __init__(self, channels: int, rngs: nnx.Rngs):
        self.block_1 = NormedBlock(channels, channels, rngs)
        self.attention = SpatialAttention(channels, rngs)
        self.block_2 = NormedBlock(channels, channels, rngs)

    def __call__(self, x_NHWC: jax.Array) -> jax.Array:
        return self.block_2(self.attention(self.block_1(x_NHWC)))
