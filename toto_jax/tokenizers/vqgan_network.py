"""The encoder and decoder of VQGAN (2012.09841), at any width and depth, for any of four quantizers.

With codebook_size=1024 or 16384, width=128, multipliers=(1, 1, 2, 2, 4), blocks=2, attention=(4,), latent=256 and
code_width=256 it is the published f/16 architecture.

Shapes: N frames, H x W pixels, h x w positions, C channels, Z latent width, E code width.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from toto_jax.errors import ConfigError
from toto_jax.tokenizers.convolutions import COLOURS, double
from toto_jax.tokenizers.quantizers import QuantizerConfig
from toto_jax.tokenizers.vqgan_layers import (
    GROUPS,
    GroupNorm,
    Middle,
    NormedBlock,
    SpatialAttention,
    convolution,
)


@dataclasses.dataclass(frozen=True)
class VQGANConfig(QuantizerConfig):
    """The quantizer's settings, and:

    Attributes:
      halvings: a position is 2**halvings pixels wide.
      width: channels at the full resolution, before the multiplier.
      multipliers: channels at each resolution as multiples of width, from the full one to the lowest.
      blocks: residual blocks at each resolution; the decoder has one more.
      attention: after how many halvings attention follows each block; the middle has one in any case.
      latent: channels of the encoder's last convolution, Z.

    Raises:
      ConfigError: on sizes that don't fit one another.
    """

    halvings: int
    width: int
    multipliers: tuple[int, ...]
    blocks: int
    attention: tuple[int, ...]
    latent: int

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("multipliers", "attention"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.width < GROUPS or self.width % GROUPS:
            nearest = max(round(self.width / GROUPS), 1) * GROUPS
            raise ConfigError(
                f"config.tokenizer.width={self.width} doesn't divide into the {GROUPS} groups of a group norm; "
                f"{nearest} would"
            )
        if len(self.multipliers) != self.halvings + 1:
            raise ConfigError(
                f"config.tokenizer.multipliers={self.multipliers} are for {len(self.multipliers) - 1} halvings, and "
                f"config.tokenizer.halvings={self.halvings}: one for each resolution, {self.halvings + 1} in all"
            )
        for name, least in (("halvings", 0), ("blocks", 1), ("latent", 1)):
            if getattr(self, name) < least:
                raise ConfigError(
                    f"config.tokenizer.{name} must be {least} or more, got {getattr(self, name)}"
                )
        if min(self.multipliers) < 1 or not set(self.attention) <= set(range(self.halvings + 1)):
            raise ConfigError(
                f"config.tokenizer.multipliers must be 1 or more and attention among 0..{self.halvings}, "
                f"got {self.multipliers} and {self.attention}"
            )

    def channels(self, level: int) -> int:
        """Returns C after so many halvings."""
        return self.width * self.multipliers[level]


class Encoder(nnx.Module):
    """Pixels in -1..1 to what is quantized."""

    def __init__(self, config: VQGANConfig, rngs: nnx.Rngs):
        channels = config.width
        self.input = convolution(3, COLOURS, channels, rngs, axes=("pixels", "channels_out"))
        for level in range(config.halvings + 1):
            for block in range(config.blocks):
                out = config.channels(level)
                setattr(self, block_name(level, block), NormedBlock(channels, out, rngs))
                channels = out
                if level in config.attention:
                    setattr(self, attention_name(level, block), SpatialAttention(channels, rngs))
            if level < config.halvings:
                # Zeros on the right and below only, as published.
                halve = convolution(3, channels, channels, rngs, stride=2, padding=(0, 1))
                setattr(self, f"level_{level}_halve", halve)
        self.middle = Middle(channels, rngs)
        self.norm = GroupNorm(channels, rngs)
        self.output = convolution(3, channels, config.latent, rngs)
        self.to_code = convolution(1, config.latent, config.code_width, rngs, axes=("channels_in", "codes"))
        self.config = config

    def __call__(self, x_NHWC: jax.Array) -> jax.Array:
        """Returns z_NhwE: float32, whatever dtype the pixels come in and the convolutions compute in."""
        config = self.config
        x_NHWC = self.input(x_NHWC)
        for level in range(config.halvings + 1):
            for block in range(config.blocks):
                x_NHWC = getattr(self, block_name(level, block))(x_NHWC)
                if level in config.attention:
                    x_NHWC = getattr(self, attention_name(level, block))(x_NHWC)
            if level < config.halvings:
                x_NHWC = getattr(self, f"level_{level}_halve")(x_NHWC)
        latent_NhwZ = self.output(nnx.swish(self.norm(self.middle(x_NHWC))))
        return self.to_code(latent_NhwZ.astype(jnp.float32))


class Decoder(nnx.Module):
    """Quantized vectors to pixels, around -1..1."""

    def __init__(self, config: VQGANConfig, rngs: nnx.Rngs):
        channels = config.channels(config.halvings)
        self.from_code = convolution(
            1, config.code_width, config.latent, rngs, axes=("codes", "channels_out")
        )
        self.input = convolution(3, config.latent, channels, rngs)
        self.middle = Middle(channels, rngs)
        for level in reversed(range(config.halvings + 1)):
            for block in range(config.blocks + 1):
                out = config.channels(level)
                setattr(self, block_name(level, block), NormedBlock(channels, out, rngs))
                channels = out
                if level in config.attention:
                    setattr(self, attention_name(level, block), SpatialAttention(channels, rngs))
            if level:
                setattr(self, f"level_{level}_double", convolution(3, channels, channels, rngs))
        self.norm = GroupNorm(channels, rngs)
        self.output = convolution(3, channels, COLOURS, rngs, axes=("channels_in", "pixels"))
        self.config = config

    def features(self, z_NhwE: jax.Array) -> jax.Array:
        """Returns what `paint` takes: the input of the last convolution."""
        config = self.config
        x_NHWC = self.middle(self.input(self.from_code(z_NhwE)))
        for level in reversed(range(config.halvings + 1)):
            for block in range(config.blocks + 1):
                x_NHWC = getattr(self, block_name(level, block))(x_NHWC)
                if level in config.attention:
                    x_NHWC = getattr(self, attention_name(level, block))(x_NHWC)
            if level:
                x_NHWC = getattr(self, f"level_{level}_double")(double(x_NHWC))
        return nnx.swish(self.norm(x_NHWC))

    def paint(self, features_NHWC: jax.Array) -> jax.Array:
        """Returns pixels."""
        return self.output(features_NHWC)


def block_name(level: int, block: int) -> str:
    """Returns what a residual block is called in the tree of parameters; levels are halvings, blocks count from 1."""
    return f"level_{level}_block_{block + 1}"


def attention_name(level: int, block: int) -> str:
    """Returns what the attention behind a block is called."""
    return f"level_{level}_attention_{block + 1}"
