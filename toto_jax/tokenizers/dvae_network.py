"""The network of DALL-E's discrete VAE (2102.12092, appendix A.1), at any width and depth.

Residual convolutions without normalisation, max-pooling on the way down and nearest doubling on the way up. With
codebook_size=8192, width=256, decoder_stem=128, halvings=3 and blocks=2 it is the published architecture.

Shapes: N frames, H x W pixels, h x w codes, C channels, K codes, M = 6 maps: three colours' medians (as logits), then
the logarithms of their scales.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from toto_jax.errors import ConfigError
from toto_jax.sharding.rules import constrain
from toto_jax.tokenizers.convolutions import COLOURS, Conv, ResidualBlock, halve

# Pixels are kept this far off 0 and 1, where the likelihood's logit is infinite (appendix A.3).
PIXEL_MARGIN = 0.1


@dataclasses.dataclass(frozen=True)
class DVAEConfig:
    """Attributes:
    codebook_size: number of codes, K.
    width: channels of the encoder's first group and the decoder's last; each halving doubles them.
    decoder_stem: channels that a code becomes in the decoder.
    halvings: a code is 2**halvings pixels wide.
    blocks: residual blocks of a group; either side has halvings + 1 groups.

    Raises:
      ConfigError: on a size that is too small, or a width that doesn't divide by 4 (blocks work on a quarter of it).
    """

    codebook_size: int
    width: int
    decoder_stem: int
    halvings: int
    blocks: int

    def __post_init__(self) -> None:
        for name, least in (("codebook_size", 2), ("decoder_stem", 1), ("halvings", 0), ("blocks", 1)):
            if getattr(self, name) < least:
                raise ConfigError(
                    f"config.tokenizer.{name} must be {least} or more, got {getattr(self, name)}"
                )
        if self.width < 4 or self.width % 4:
            nearest = max(round(self.width / 4), 1) * 4
            raise ConfigError(f"config.tokenizer.width={self.width} doesn't divide by 4; {nearest} would")

    @property
    def groups(self) -> int:
        """Groups of residual blocks on either side."""
        return self.halvings + 1

    @property
    def residual_gain(self) -> float:
        """Factor of residual branches: 1/64 as published."""
        return 1 / (self.groups * self.blocks) ** 2


def map_pixels(pixels: jax.Array) -> jax.Array:
    """Returns uint8 pixels as float32 in 0.1..0.9."""
    return PIXEL_MARGIN + (1 - 2 * PIXEL_MARGIN) / 255 * pixels.astype(jnp.float32)


def unmap_pixels(mapped: jax.Array) -> jax.Array:
    """Returns the inverse of `map_pixels` as float32 in 0..1; what lies outside is clipped."""
    return jnp.clip((mapped - PIXEL_MARGIN) / (1 - 2 * PIXEL_MARGIN), 0, 1)


def reconstruction(maps_NHWM: jax.Array) -> jax.Array:
    """Returns the decoder's picture in 0..1: the medians, without the scales."""
    return unmap_pixels(jax.nn.sigmoid(maps_NHWM[..., :COLOURS]))


class Encoder(nnx.Module):
    """Pixels to logits of codes: float32, whatever dtype the pixels come in and the convolutions compute in."""

    def __init__(self, config: DVAEConfig, rngs: nnx.Rngs):
        self.input = Conv(7, COLOURS, config.width, rngs, ("pixels", "channels_out"))
        channels = config.width
        for group, block in np.ndindex(config.groups, config.blocks):
            out = config.width * 2**group
            residual = ResidualBlock((3, 3, 3, 1), channels, out, config.residual_gain, rngs)
            setattr(self, block_name(group, block), residual)
            channels = out
        self.output = Conv(1, channels, config.codebook_size, rngs, ("channels_in", "codes"))
        self.config = config

    def __call__(self, mapped_NHWC: jax.Array) -> jax.Array:
        x_NHWC = constrain(self.input(mapped_NHWC), "batch", None, None, None)
        for group, block in np.ndindex(self.config.groups, self.config.blocks):
            if group > 0 and block == 0:
                x_NHWC = halve(x_NHWC)
            x_NHWC = getattr(self, block_name(group, block))(x_NHWC)
        return self.output(nnx.relu(x_NHWC).astype(jnp.float32))


class Decoder(nnx.Module):
    """Codes, or weights of codes, to maps."""

    def __init__(self, config: DVAEConfig, rngs: nnx.Rngs):
        self.input = Conv(1, config.codebook_size, config.decoder_stem, rngs, ("codes", "channels_out"))
        channels = config.decoder_stem
        for group, block in np.ndindex(config.groups, config.blocks):
            out = config.width * 2 ** (config.halvings - group)
            doubles = group > 0 and block == 0
            residual = ResidualBlock((1, 3, 3, 3), channels, out, config.residual_gain, rngs, doubles)
            setattr(self, block_name(group, block), residual)
            channels = out
        self.output = Conv(1, channels, 2 * COLOURS, rngs, ("channels_in", "pixels"))
        self.config = config

    def hard(self, codes_Nhw: jax.Array) -> jax.Array:
        """Returns maps_NHWM of codes: rows of the input's kernel in place of a product with one-hot vectors."""
        return self._maps(self.input.kernel[...][0, 0][codes_Nhw] + self.input.bias[...])

    def soft(self, weights_NhwK: jax.Array) -> jax.Array:
        """Returns maps_NHWM of a mixture of codes at each position."""
        return self._maps(self.input(weights_NhwK))

    def _maps(self, x_NhwC: jax.Array) -> jax.Array:
        x_NHWC = constrain(x_NhwC, "batch", None, None, None)
        for group, block in np.ndindex(self.config.groups, self.config.blocks):
            x_NHWC = getattr(self, block_name(group, block))(x_NHWC)
        return self.output(nnx.relu(x_NHWC))


def block_name(group: int, block: int) -> str:
    """Returns what a residual block is called in the tree of parameters; both count from 0."""
    return f"group_{group + 1}_block_{block + 1}"
