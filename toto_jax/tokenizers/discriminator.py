"""The PatchGAN discriminator of VQGAN (2012.09841; 1611.07004): is each patch of a picture real?

Shapes: N frames, H x W pixels, C channels, P x Q patches.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from toto_jax.models.functional import parameter
from toto_jax.tokenizers.convolutions import COLOURS, Conv, flat_normal

_SLOPE = 0.2
_EPS = 1e-5
_MOST_MULTIPLE = 8
_INIT_STD = 0.02


class BatchNorm(nnx.Module):
    """Mean and variance of the batch at hand, always: a discriminator has no use but training, so none are kept."""

    def __init__(self, channels: int, rngs: nnx.Rngs):
        self.gain = parameter(rngs, (channels,), ("norm",), flat_normal(_INIT_STD, mean=1.0))
        self.bias = parameter(rngs, (channels,), ("bias",), nnx.initializers.zeros)

    def __call__(self, x_NHWC: jax.Array) -> jax.Array:
        mean_C = x_NHWC.mean((0, 1, 2))
        variance_C = jnp.square(x_NHWC - mean_C).mean((0, 1, 2))
        return (x_NHWC - mean_C) * jax.lax.rsqrt(variance_C + _EPS) * self.gain[...] + self.bias[...]


class Discriminator(nnx.Module):
    """Convolutions of 4 x 4: `layers` that halve, one that doesn't, and one to a single logit a patch.

    Args:
      width: channels of the first; each of the others doubles them, up to eight times.
      layers: that halve.
      rngs: random streams.
    """

    def __init__(self, width: int, layers: int, rngs: nnx.Rngs):
        def conv(channels_in: int, channels_out: int, stride: int, bias: bool, **more: object) -> Conv:
            init = flat_normal(_INIT_STD)
            return Conv(
                4,
                channels_in,
                channels_out,
                rngs,
                init=init,
                stride=stride,
                padding=(1, 1),
                bias=bias,
                **more,
            )

        self.conv_0 = conv(COLOURS, width, stride=2, bias=True, axes=("pixels", "channels_out"))
        channels = width
        for layer in range(1, layers + 1):
            out = width * min(2**layer, _MOST_MULTIPLE)
            setattr(self, f"conv_{layer}", conv(channels, out, stride=2 if layer < layers else 1, bias=False))
            setattr(self, f"norm_{layer}", BatchNorm(out, rngs))
            channels = out
        self.output = conv(channels, 1, stride=1, bias=True, axes=("channels_in", "pixels"))
        self.layers = layers

    def __call__(self, x_NHWC: jax.Array) -> jax.Array:
        """Returns logits_NPQ of pictures in -1..1; positive means real."""
        x_NHWC = nnx.leaky_relu(self.conv_0(x_NHWC), _SLOPE)
        for layer in range(1, self.layers + 1):
            convolved = getattr(self, f"conv_{layer}")(x_NHWC)
            x_NHWC = nnx.leaky_relu(getattr(self, f"norm_{layer}")(convolved), _SLOPE)
        return self.output(x_NHWC)[..., 0]
