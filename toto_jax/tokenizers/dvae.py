"""DALL-E's discrete VAE (2102.12092), the paper's tokenizer (section 3.1): pure functions of its parameters,
and a `Tokenizer`.

Everything is float32 at JAX's default precision: on GPUs and TPUs factors are rounded, so that a code may differ from a
CPU's where two are nearly as likely. JAX_DEFAULT_MATMUL_PRECISION=float32 takes that away.

Shapes: B clips, F frames, N = B*F frames, H x W pixels, h x w codes, C colours, K codes, M = 6 maps.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from toto_jax.errors import ConfigError, DataError
from toto_jax.models.functional import Functional
from toto_jax.sharding.rules import constrain
from toto_jax.tokenizers.base import TokenizerSpec
from toto_jax.tokenizers.convolutions import COLOURS
from toto_jax.tokenizers.dvae_network import Decoder, DVAEConfig, Encoder, map_pixels, reconstruction
from toto_jax.tree import Params, named_leaves

KIND = "dvae"
# Values of one call's largest activation: few enough for a CPU's cache (three times as fast as what isn't), or for a
# few GB of an accelerator's memory with all that live beside it.
_CHUNK_VALUES_ON_CPU = 2**20
_CHUNK_VALUES = 2**26


@dataclasses.dataclass(frozen=True)
class DVAE:
    """The network as pure functions of its parameters. Equal ones share compiled programs.

    Attributes:
      config: its sizes.
    """

    config: DVAEConfig

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


class DVAETokenizer:
    """A trained dVAE as a `Tokenizer`: codes are the likeliest ones, without noise.

    Args:
      config: its sizes.
      params: its parameters, as of `DVAE.init`.
    """

    def __init__(self, config: DVAEConfig, params: Params):
        self._dvae = DVAE(config)
        self._params = params

    @functools.cached_property
    def spec(self) -> TokenizerSpec:
        """What others need to know of it. Hashing reads all weights once."""
        config = self._dvae.config
        architecture = dataclasses.asdict(config)
        return TokenizerSpec(
            kind=KIND,
            codebook_size=config.codebook_size,
            downsampling=2**config.halvings,
            architecture=architecture,
            content_hash=content_hash({"kind": KIND, **architecture}, self._params),
        )

    def encode(self, video_BFHWC: np.ndarray) -> np.ndarray:
        """Returns codes_BFhw, int32.

        Args:
          video_BFHWC: uint8 RGB, of any size that is a whole number of codes.

        Raises:
          ConfigError: if it isn't, with what would do.
        """
        if video_BFHWC.ndim != 5 or video_BFHWC.shape[-1] != COLOURS or video_BFHWC.dtype != np.uint8:
            raise ConfigError(
                f"Give uint8 video of shape (B, F, H, W, {COLOURS}), got {video_BFHWC.dtype} {video_BFHWC.shape}"
            )
        clips, frames, height, width, _ = video_BFHWC.shape
        rows, columns = self.spec.grid(height, width)
        pixels_NHWC = video_BFHWC.reshape(clips * frames, height, width, COLOURS)
        function = functools.partial(_encode, self._dvae, self._params)
        codes_Nhw = _in_chunks(function, pixels_NHWC, self._chunk(rows, columns))
        return codes_Nhw.reshape(clips, frames, rows, columns)

    def decode(self, codes_BFhw: np.ndarray) -> np.ndarray:
        """Returns uint8 RGB frames, video_BFHWC.

        Args:
          codes_BFhw: integers in 0..codebook_size-1; ids of a token sequence are shifted (`video.to_codes`).

        Raises:
          DataError: on numbers that are no codes, which would silently become other codes.
        """
        codes_BFhw = np.asarray(codes_BFhw, np.int32)
        if codes_BFhw.size and not 0 <= codes_BFhw.min() <= codes_BFhw.max() < self.spec.codebook_size:
            raise DataError(
                f"Codes of this tokenizer are 0..{self.spec.codebook_size - 1}, got {codes_BFhw.min()}.."
                f"{codes_BFhw.max()}; video.to_codes makes codes of token ids"
            )
        clips, frames, rows, columns = codes_BFhw.shape
        function = functools.partial(_decode, self._dvae, self._params)
        codes_Nhw = codes_BFhw.reshape(clips * frames, rows, columns)
        pixels_NHWC = _in_chunks(function, codes_Nhw, self._chunk(rows, columns))
        return pixels_NHWC.reshape(clips, frames, *pixels_NHWC.shape[1:])

    def _chunk(self, rows: int, columns: int) -> int:
        """Returns how many frames to take at once."""
        config = self._dvae.config
        values_of_code = max(4**config.halvings * config.width, config.codebook_size)
        most = _CHUNK_VALUES_ON_CPU if jax.default_backend() == "cpu" else _CHUNK_VALUES
        return max(1, most // (rows * columns * values_of_code))


def content_hash(architecture: dict[str, Any], params: Params) -> str:
    """Returns the SHA-256 of settings and weights: names, dtypes, shapes and bytes, in order of the names."""
    digest = hashlib.sha256(json.dumps(architecture, sort_keys=True).encode())
    for name, leaf in sorted(named_leaves(params).items()):
        array = np.asarray(leaf)
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(json.dumps([name, array.dtype.name, array.shape]).encode())
        digest.update(np.ascontiguousarray(little).tobytes())
    return digest.hexdigest()


@functools.partial(jax.jit, static_argnums=0)
def _encode(dvae: DVAE, params: Params, pixels_NHWC: jax.Array) -> jax.Array:
    logits_NhwK = dvae.encode_logits(params, map_pixels(pixels_NHWC))
    # Whole on every device, so that each process can read it.
    return constrain(jnp.argmax(logits_NhwK, axis=-1).astype(jnp.int32), None, None, None)


@functools.partial(jax.jit, static_argnums=0)
def _decode(dvae: DVAE, params: Params, codes_Nhw: jax.Array) -> jax.Array:
    pixels_NHWC = reconstruction(dvae.decode_codes(params, codes_Nhw))
    return constrain((255 * pixels_NHWC + 0.5).astype(jnp.uint8), None, None, None, None)


def _in_chunks(function: Callable[[np.ndarray], jax.Array], frames: np.ndarray, most: int) -> np.ndarray:
    """Applies a function to at most `most` frames at a time, all chunks being of one size to compile once."""
    devices = max(jax.sharding.get_abstract_mesh().size, 1)
    chunk = -(-min(most, max(len(frames), 1)) // devices) * devices
    results = []
    for start in range(0, max(len(frames), 1), chunk):
        part = frames[start : start + chunk]
        full = np.zeros((chunk, *frames.shape[1:]), frames.dtype)
        full[: len(part)] = part
        results.append(np.asarray(function(full))[: len(part)])
    return np.concatenate(results)
