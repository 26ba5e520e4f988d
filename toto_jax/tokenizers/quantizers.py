"""From vectors to codes and back: a learned codebook, and three that need none.

- "vq": the nearest of K learned vectors (1711.00937); with `normalize`, the nearest in direction (2110.04627).
- "fsq": each channel rounded to one of a few levels (2309.15505).
- "lfq": the sign of each channel (2310.05737).
- "bsq": the same on a sphere (2406.07548).

Shapes: N frames, h x w positions, E channels, K codes. Codes of several vocabularies stand side by side, and those of
the second begin where the first's end.
"""

import dataclasses
import math
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from toto_jax.errors import ConfigError, nearest
from toto_jax.models.functional import parameter
from toto_jax.tokenizers.convolutions import flat_uniform

QUANTIZERS = ("vq", "fsq", "lfq", "bsq")
_BINARY = ("lfq", "bsq")
# Keeps the shift of two levels finite; the sign is that of the published code.
_FSQ_MARGIN = 1e-3


@dataclasses.dataclass(frozen=True)
class QuantizerConfig:
    """Attributes:
    codebook_size: codes in all, K.
    quantizer: one of QUANTIZERS.
    code_width: channels that are quantized, E.
    normalize: whether "vq" compares directions only.
    levels: of "fsq", for each channel; they multiply to codebook_size.
    codes_per_position: of "lfq" and "bsq": into how many codes, of equal vocabularies, a position's bits are split.

    Raises:
      ConfigError: on settings that contradict one another, with what would fit.
    """

    codebook_size: int
    quantizer: str
    code_width: int
    normalize: bool
    levels: tuple[int, ...]
    codes_per_position: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", tuple(self.levels))
        if self.quantizer not in QUANTIZERS:
            raise ConfigError(
                f"config.tokenizer.quantizer={self.quantizer!r} is unknown; {nearest(self.quantizer, QUANTIZERS)}"
            )
        if self.code_width < 1 or self.codes_per_position < 1:
            raise ConfigError("config.tokenizer.code_width and codes_per_position must be 1 or more")
        idle = {
            "levels": bool(self.levels) and self.quantizer != "fsq",
            "normalize": self.normalize and self.quantizer != "vq",
            "codes_per_position": self.codes_per_position > 1 and self.quantizer not in _BINARY,
        }
        for name, given in idle.items():
            if given:
                raise ConfigError(
                    f"config.tokenizer.{name}={getattr(self, name)} means nothing to quantizer={self.quantizer!r}"
                )
        wanted = self._codebook_size()
        if wanted != self.codebook_size:
            raise ConfigError(
                f"config.tokenizer.codebook_size={self.codebook_size}, but {self.quantizer!r} of these settings has "
                f"{wanted} codes; set it to that"
            )

    def _codebook_size(self) -> int:
        if self.quantizer == "vq":
            return max(self.codebook_size, 2)
        if self.quantizer == "fsq":
            if len(self.levels) != self.code_width or min(self.levels, default=0) < 2:
                raise ConfigError(
                    f"config.tokenizer.levels={self.levels} must be {self.code_width} numbers (code_width) of 2 or more"
                )
            return math.prod(self.levels)
        if self.code_width % self.codes_per_position:
            raise ConfigError(
                f"config.tokenizer.code_width={self.code_width} bits don't divide into {self.codes_per_position} codes"
            )
        return self.codes_per_position * 2 ** (self.code_width // self.codes_per_position)


class Quantized(NamedTuple):
    """What becomes of encoded vectors.

    Attributes:
      codes_Nhw: int32.
      vectors_NhwE: what the decoder gets; its gradient goes on to the encoder.
      latents_NhwE: what was compared with the codes: the encoded vectors, bounded or normalised.
      chosen_NhwE: the codes' vectors; their gradient goes to the codebook, if there is one.
    """

    codes_Nhw: jax.Array
    vectors_NhwE: jax.Array
    latents_NhwE: jax.Array
    chosen_NhwE: jax.Array


class Quantizer(Protocol):
    """A module between encoder and decoder."""

    def __call__(self, z_NhwE: jax.Array) -> Quantized:
        """Quantizes encoded vectors."""

    def vectors(self, codes_Nhw: jax.Array) -> jax.Array:
        """Returns vectors_NhwE of codes, as the decoder takes them."""


class VectorQuantizer(nnx.Module):
    """The nearest of learned vectors."""

    def __init__(self, config: QuantizerConfig, rngs: nnx.Rngs):
        size = config.codebook_size
        self.codebook = parameter(rngs, (size, config.code_width), ("codes", None), flat_uniform(1 / size))
        self.normalize = config.normalize

    def table(self) -> jax.Array:
        """Returns the codes' vectors, table_KE."""
        return _unit(self.codebook[...]) if self.normalize else self.codebook[...]

    def __call__(self, z_NhwE: jax.Array) -> Quantized:
        latents_NhwE = _unit(z_NhwE) if self.normalize else z_NhwE
        table_KE = self.table()
        # All factors in full: a code that changes with the chip's rounding would be another code.
        similarity_NhwK = jnp.einsum("nhwe,ke->nhwk", latents_NhwE, table_KE, precision="highest")
        codes_Nhw = jnp.argmin(jnp.square(table_KE).sum(1) - 2 * similarity_NhwK, axis=-1).astype(jnp.int32)
        chosen_NhwE = table_KE[codes_Nhw]
        return Quantized(codes_Nhw, straight_through(latents_NhwE, chosen_NhwE), latents_NhwE, chosen_NhwE)

    def vectors(self, codes_Nhw: jax.Array) -> jax.Array:
        return self.table()[codes_Nhw]


class ScalarQuantizer(nnx.Module):
    """Each channel bounded by a tanh and rounded; the first channel is a code's least significant digit."""

    def __init__(self, config: QuantizerConfig, rngs: nnx.Rngs):
        del rngs
        self.levels = config.levels

    def __call__(self, z_NhwE: jax.Array) -> Quantized:
        levels_E = np.array(self.levels)
        half_E = (levels_E - 1) * (1 + _FSQ_MARGIN) / 2
        offset_E = np.where(levels_E % 2 == 0, 0.5, 0.0)
        bounded_NhwE = jnp.tanh(z_NhwE + np.arctanh(offset_E / half_E)) * half_E - offset_E
        rounded_NhwE = jnp.round(bounded_NhwE)
        digits_NhwE = rounded_NhwE.astype(jnp.int32) + levels_E // 2
        codes_Nhw = (digits_NhwE * self._places()).sum(-1)
        latents_NhwE, chosen_NhwE = bounded_NhwE / (levels_E // 2), rounded_NhwE / (levels_E // 2)
        return Quantized(codes_Nhw, straight_through(latents_NhwE, chosen_NhwE), latents_NhwE, chosen_NhwE)

    def vectors(self, codes_Nhw: jax.Array) -> jax.Array:
        levels_E = np.array(self.levels)
        digits_NhwE = codes_Nhw[..., None] // self._places() % levels_E
        return (digits_NhwE - levels_E // 2) / (levels_E // 2)

    def _places(self) -> np.ndarray:
        return np.cumprod([1, *self.levels[:-1]]).astype(np.int32)


class BinaryQuantizer(nnx.Module):
    """The sign of each channel; the first channel of a vocabulary is the least significant bit of its code."""

    def __init__(self, config: QuantizerConfig, rngs: nnx.Rngs):
        del rngs
        self.spherical = config.quantizer == "bsq"
        self.bits = config.code_width
        self.vocabularies = config.codes_per_position

    def __call__(self, z_NhwE: jax.Array) -> Quantized:
        latents_NhwE = _unit(z_NhwE) if self.spherical else z_NhwE
        bits_NhwE = latents_NhwE > 0
        bits_NhwPb = bits_NhwE.reshape(*bits_NhwE.shape[:-1], self.vocabularies, -1)
        codes_NhwP = (bits_NhwPb * self._places()).sum(-1) + self._starts()
        codes_Nhw = codes_NhwP.reshape(*codes_NhwP.shape[:-2], -1).astype(jnp.int32)
        chosen_NhwE = self._signs(bits_NhwE)
        return Quantized(codes_Nhw, straight_through(latents_NhwE, chosen_NhwE), latents_NhwE, chosen_NhwE)

    def vectors(self, codes_Nhw: jax.Array) -> jax.Array:
        frames, rows, columns = codes_Nhw.shape
        codes_NhwP = codes_Nhw.reshape(frames, rows, columns // self.vocabularies, self.vocabularies)
        bits_NhwPb = (codes_NhwP - self._starts())[..., None] // self._places() % 2
        return self._signs(bits_NhwPb.reshape(*codes_NhwP.shape[:-1], self.bits))

    def _signs(self, bits_NhwE: jax.Array) -> jax.Array:
        return (2.0 * bits_NhwE - 1) / (math.sqrt(self.bits) if self.spherical else 1)

    def _places(self) -> np.ndarray:
        return 2 ** np.arange(self.bits // self.vocabularies)

    def _starts(self) -> np.ndarray:
        return np.arange(self.vocabularies) * 2 ** (self.bits // self.vocabularies)


def build_quantizer(config: QuantizerConfig, rngs: nnx.Rngs) -> Quantizer:
    """Returns the quantizer that the config names."""
    kind = {"vq": VectorQuantizer, "fsq": ScalarQuantizer}.get(config.quantizer, BinaryQuantizer)
    return kind(config, rngs)


def straight_through(latents: jax.Array, chosen: jax.Array) -> jax.Array:
    """Returns `chosen`, with the gradient of `latents` (1308.3432)."""
    return latents + jax.lax.stop_gradient(chosen - latents)


def _unit(x_E: jax.Array) -> jax.Array:
    return x_E * jax.lax.rsqrt(jnp.square(x_E).sum(-1, keepdims=True) + 1e-12)
