"""The parts that convolutional tokenizers are built of.

Shapes: N frames, H x W positions, C channels.
"""

import math

import jax
import jax.numpy as jnp
from flax import nnx

from toto_jax.models.functional import Initializer, parameter
from toto_jax.models.layers import linear
from toto_jax.sharding.rules import constrain

COLOURS = 3


def flat_normal(std: float, mean: float = 0.0) -> Initializer:
    """Returns an initializer that draws the values of `nnx.initializers.normal(std)` in one dimension.

    They are the same values but for rounding, and on CPU the drawing of many kernels compiles in a third of the time.
    """

    def init(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype) -> jax.Array:
        return mean + std * jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape)

    return init


def flat_uniform(bound: float) -> Initializer:
    """Returns an initializer that draws uniformly from -bound..bound, in one dimension like `flat_normal`."""

    def init(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype) -> jax.Array:
        return jax.random.uniform(key, (math.prod(shape),), dtype, -bound, bound).reshape(shape)

    return init


class Conv(nnx.Module):
    """A convolution; it keeps height and width unless it is told otherwise.

    Args:
      size: of the square kernel.
      channels_in: C of the input.
      channels_out: C of the output.
      rngs: random streams.
      axes: logical axes of the two channel dimensions.
      init: of the kernel; None for a normal distribution that keeps the variance through ReLUs.
      stride: from one output to the next.
      padding: "SAME", or zeros (before, after) each side.
      bias: whether a bias is added.
    """

    def __init__(
        self,
        size: int,
        channels_in: int,
        channels_out: int,
        rngs: nnx.Rngs,
        axes: tuple[str, str] = ("channels_in", "channels_out"),
        init: Initializer | None = None,
        stride: int = 1,
        padding: str | tuple[int, int] = "SAME",
        bias: bool = True,
    ):
        # DALL-E's was published without the 2, which keeps the variance through ReLUs; with it, short runs learn more.
        init = init or flat_normal(math.sqrt(2 / (channels_in * size**2)))
        shape = (size, size, channels_in, channels_out)
        self.kernel = parameter(rngs, shape, ("kernel", "kernel", *axes), init)
        if bias:
            self.bias = parameter(rngs, (channels_out,), ("bias",), nnx.initializers.zeros)
        self.stride = stride
        self.padding = padding if padding == "SAME" else (padding, padding)

    def __call__(self, x_NHWC: jax.Array) -> jax.Array:
        """Returns the convolution in the dtype of the input."""
        convolved_NHWC = self._convolved(x_NHWC, self.kernel[...].astype(x_NHWC.dtype))
        if hasattr(self, "bias"):
            return convolved_NHWC + self.bias[...].astype(x_NHWC.dtype)
        return convolved_NHWC

    def _convolved(self, x_NHWC: jax.Array, kernel: jax.Array) -> jax.Array:
        if kernel.shape[0] == 1 and self.stride == 1:
            return linear(x_NHWC, kernel.reshape(kernel.shape[2:]))
        if kernel.shape[2] == COLOURS:
            # With JAX 0.10 on CPU, three channels take five times as long as four.
            x_NHWC = jnp.pad(x_NHWC, ((0, 0), (0, 0), (0, 0), (0, 1)))
            kernel = jnp.pad(kernel, ((0, 0), (0, 0), (0, 1), (0, 0)))
        return jax.lax.conv_general_dilated(
            x_NHWC,
            kernel,
            window_strides=(self.stride, self.stride),
            padding=self.padding,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )


class ResidualBlock(nnx.Module):
    """identity(x) + gain * path(x); the path is four convolutions on a quarter of the channels, a ReLU before each.

    Args:
      sizes: of the four kernels.
      channels_in: C of the input; where it differs from the output's, a 1x1 convolution takes the identity's place.
      channels_out: C of the output.
      gain: of the path.
      rngs: random streams.
      doubles: whether height and width are doubled, by nearest neighbours, on the way in.
    """

    def __init__(
        self,
        sizes: tuple[int, int, int, int],
        channels_in: int,
        channels_out: int,
        gain: float,
        rngs: nnx.Rngs,
        doubles: bool = False,
    ):
        hidden = channels_out // 4
        if channels_in != channels_out:
            self.identity = Conv(1, channels_in, channels_out, rngs)
        self.conv_1 = Conv(sizes[0], channels_in, hidden, rngs)
        self.conv_2 = Conv(sizes[1], hidden, hidden, rngs)
        self.conv_3 = Conv(sizes[2], hidden, hidden, rngs)
        self.conv_4 = Conv(sizes[3], hidden, channels_out, rngs)
        self.gain = gain
        self.doubles = doubles
        if doubles and sizes[0] != 1:
            raise ValueError(
                f"Only a 1x1 convolution commutes with doubling, got a first kernel of {sizes[0]}"
            )

    def __call__(self, x_NHWC: jax.Array) -> jax.Array:
        path_NHWC = self.conv_1(nnx.relu(x_NHWC))
        kept_NHWC = self.identity(x_NHWC) if hasattr(self, "identity") else x_NHWC
        if self.doubles:
            # Doubling and 1x1 convolutions commute; the convolutions do a quarter of the work when they come first.
            path_NHWC, kept_NHWC = double(path_NHWC), double(kept_NHWC)
        for conv in (self.conv_2, self.conv_3, self.conv_4):
            path_NHWC = conv(nnx.relu(path_NHWC))
        return constrain(kept_NHWC + self.gain * path_NHWC, "batch", None, None, None)


def halve(x_NHWC: jax.Array) -> jax.Array:
    """Returns the largest value of each 2 x 2 square."""
    frames, height, width, channels = x_NHWC.shape
    # On CPU the gradient of this form takes a fifth of that of a window's reduction.
    return x_NHWC.reshape(frames, height // 2, 2, width // 2, 2, channels).max((2, 4))


def double(x_NHWC: jax.Array) -> jax.Array:
    """Returns each value as a square of 2 x 2."""
    frames, height, width, channels = x_NHWC.shape
    squares = jnp.broadcast_to(x_NHWC[:, :, None, :, None], (frames, height, 2, width, 2, channels))
    return squares.reshape(frames, 2 * height, 2 * width, channels)
