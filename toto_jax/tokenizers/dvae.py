"""DALL-E's discrete VAE (2102.12092), the paper's tokenizer (section 3.1), as pure functions of its parameters.

Shapes: N frames, H x W pixels, h x w codes, C colours, K codes, M = 6 maps.
"""

import dataclasses
import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from toto_jax.models.functional import Functional
from toto_jax.tokenizers.dvae_network import (
    PIXEL_MARGIN,
    Decoder,
    DVAEConfig,
    Encoder,
    map_pixels,
    reconstruction,
)
from toto_jax.tree import Params


@dataclasses.dataclass(frozen=True)
class DVAE:
    """A `Network`. Codes are the likeliest ones, without noise.

    Attributes:
      config: its sizes.
    """

    kind: ClassVar[str] = "dvae"
    pixel_range: ClassVar[tuple[float, float]] = (PIXEL_MARGIN, 1 - PIXEL_MARGIN)
    config: DVAEConfig

    @property
    def vocabularies(self) -> tuple[int, ...]:
        return (self.config.codebook_size,)

    @property
    def values_of_code(self) -> int:
        return max(4**self.config.halvings * self.config.width, self.config.codebook_size)

    @functools.cached_property
    def _encoder(self) -> Functional[Encoder]:
        return Functional(functools.partial(Encoder, self.config))

    @functools.cached_property
    def _decoder(self) -> Functional[Decoder]:
        return Functional(functools.partial(Decoder, self.config))

    def init(self, key: jax.Array) -> Params:
        """Returns float32 parameters: `encoder` and `decoder`."""
        encoder_key, decoder_key = jax.random.split(key)
        return {"encoder": self._encoder.init(encoder_key), "decoder": self._decoder.init(decoder_key)}

    def logical_axes(self) -> Any:
        """Returns a tree like `init`'s whose leaves are tuples of logical axis names."""
        return {"encoder": self._encoder.logical_axes(), "decoder": self._decoder.logical_axes()}

    def encode_logits(self, params: Params, mapped_NHWC: jax.Array) -> jax.Array:
        """Returns logits_NhwK of frames as `map_pixels` gives them; a frame's code is their argmax."""
        return self._encoder.bind(params["encoder"])(mapped_NHWC)

    def decode_codes(self, params: Params, codes_Nhw: jax.Array) -> jax.Array:
        """Returns maps_NHWM; `reconstruction` makes pictures of them."""
        return self._decoder.bind(params["decoder"]).hard(codes_Nhw)

    def decode_soft(self, params: Params, weights_NhwK: jax.Array) -> jax.Array:
        """Returns maps_NHWM of codes mixed by weights that sum to one."""
        return self._decoder.bind(params["decoder"]).soft(weights_NhwK)

    def codes(self, params: Params, pixels_NHWC: jax.Array, dtype: str = "float32") -> jax.Array:
        """Returns codes_Nhw (int32) of uint8 pixels; see `Network`."""
        logits_NhwK = self.encode_logits(params, map_pixels(pixels_NHWC).astype(dtype))
        return jnp.argmax(logits_NhwK, axis=-1).astype(jnp.int32)

    def pixels(self, params: Params, codes_Nhw: jax.Array) -> jax.Array:
        """Returns uint8 pixels_NHWC of codes."""
        return (255 * reconstruction(self.decode_codes(params, codes_Nhw)) + 0.5).astype(jnp.uint8)
