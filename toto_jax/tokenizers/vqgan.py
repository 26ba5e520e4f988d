"""VQGAN (2012.09841) as pure functions of its parameters, with any of the quantizers.

Shapes: N frames, H x W pixels, h x w codes, C colours, E code width.
"""

import dataclasses
import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from toto_jax.models.functional import Functional
from toto_jax.tokenizers.quantizers import Quantized, build_quantizer
from toto_jax.tokenizers.vqgan_network import Decoder, Encoder, VQGANConfig
from toto_jax.tree import Params


def to_unit_range(pixels: jax.Array) -> jax.Array:
    """Returns uint8 pixels as float32 in -1..1."""
    return pixels.astype(jnp.float32) / 127.5 - 1


def to_pixels(x: jax.Array) -> jax.Array:
    """Returns the nearest uint8 pixels; what lies outside of -1..1 is clipped."""
    return jnp.round(127.5 * (jnp.clip(x, -1, 1) + 1)).astype(jnp.uint8)


@dataclasses.dataclass(frozen=True)
class VQGAN:
    """A `Network`.

    Attributes:
      config: its sizes.
    """

    kind: ClassVar[str] = "vqgan"
    pixel_range: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    config: VQGANConfig

    @property
    def vocabularies(self) -> tuple[int, ...]:
        parts = self.config.codes_per_position
        return (self.config.codebook_size // parts,) * parts

    @property
    def values_of_code(self) -> int:
        return max(4**self.config.halvings * self.config.channels(0), self.config.codebook_size)

    @functools.cached_property
    def _modules(self) -> dict[str, Functional[Any]]:
        builders = {"encoder": Encoder, "quantizer": build_quantizer, "decoder": Decoder}
        return {name: Functional(functools.partial(build, self.config)) for name, build in builders.items()}

    def init(self, key: jax.Array) -> Params:
        """Returns float32 parameters: `encoder`, `decoder`, and `quantizer` where it learns."""
        keys = jax.random.split(key, len(self._modules))
        values = {
            name: module.init(key) for (name, module), key in zip(self._modules.items(), keys, strict=True)
        }
        return {name: value for name, value in values.items() if value}

    def logical_axes(self) -> Any:
        """Returns a tree like `init`'s whose leaves are tuples of logical axis names."""
        axes = {name: module.logical_axes() for name, module in self._modules.items()}
        return {name: value for name, value in axes.items() if value}

    def encode(self, params: Params, x_NHWC: jax.Array) -> jax.Array:
        """Returns z_NhwE, which are to be quantized, of pixels in -1..1."""
        return self._bound("encoder", params)(x_NHWC)

    def quantize(self, params: Params, z_NhwE: jax.Array) -> Quantized:
        """Returns codes and their vectors."""
        return self._bound("quantizer", params)(z_NhwE)

    def features(self, params: Params, vectors_NhwE: jax.Array) -> jax.Array:
        """Returns what the decoder's last convolution takes."""
        return self._bound("decoder", params).features(vectors_NhwE)

    def paint(self, params: Params, features_NHWC: jax.Array) -> jax.Array:
        """Returns pixels, around -1..1: the decoder's last convolution."""
        return self._bound("decoder", params).paint(features_NHWC)

    def codes(self, params: Params, pixels_NHWC: jax.Array, dtype: str = "float32") -> jax.Array:
        """Returns codes_Nhw (int32) of uint8 pixels; see `Network`."""
        z_NhwE = self.encode(params, to_unit_range(pixels_NHWC).astype(dtype))
        return self.quantize(params, z_NhwE).codes_Nhw

    def pixels(self, params: Params, codes_Nhw: jax.Array) -> jax.Array:
        """Returns uint8 pixels_NHWC of codes."""
        vectors_NhwE = self._bound("quantizer", params).vectors(codes_Nhw)
        return to_pixels(self.paint(params, self.features(params, vectors_NhwE)))

    def _bound(self, name: str, params: Params) -> Any:
        return self._modules[name].bind(params.get(name, {}))
