"""A network and its parameters as a `Tokenizer`.

Unless told otherwise everything is float32 at JAX's default precision: on GPUs and TPUs factors are rounded, so that a
code may differ from a CPU's where two are nearly as good. JAX_DEFAULT_MATMUL_PRECISION=float32 takes that away.

Shapes: B clips, F frames, N = B*F frames, H x W pixels, h x w codes, C colours.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from toto_jax.errors import ConfigError, DataError
from toto_jax.sharding.rules import constrain
from toto_jax.tokenizers.base import Network, TokenizerSpec
from toto_jax.tokenizers.convolutions import COLOURS
from toto_jax.tree import Params, named_leaves

# Values of one call's largest activation: few enough for a CPU's cache (three times as fast as what isn't), or for a
# few GB of an accelerator's memory with all that live beside it.
_CHUNK_VALUES_ON_CPU = 2**20
_CHUNK_VALUES = 2**26


class FrameTokenizer:
    """A trained network that takes each frame by itself.

    Args:
      network: its structure.
      params: its parameters, as of `network.init`.
      licence: of the parameters, if they are somebody else's.
      encode_dtype: see `TokenizerSpec`.
      mesh: devices that share the frames of each call; None leaves it to the mesh that is set, or to one device.
    """

    def __init__(
        self,
        network: Network,
        params: Params,
        licence: str = "",
        encode_dtype: str = "float32",
        mesh: Mesh | None = None,
    ):
        self._network = network
        self._params = params
        self._licence = licence
        self._encode_dtype = encode_dtype
        self._mesh = mesh

    def on(self, mesh: Mesh) -> "FrameTokenizer":
        """Returns the same tokenizer with its parameters on each device of a mesh, which share the frames."""
        params = jax.device_put(self._params, NamedSharding(mesh, PartitionSpec()))
        return FrameTokenizer(self._network, params, self._licence, self._encode_dtype, mesh)

    @functools.cached_property
    def spec(self) -> TokenizerSpec:
        """What others need to know of it. Hashing reads all weights once."""
        network = self._network
        architecture = dataclasses.asdict(network.config)
        saved = TokenizerSpec(
            kind=network.kind,
            codebook_size=sum(network.vocabularies),
            downsampling=2**network.config.halvings,
            architecture=architecture,
            content_hash=content_hash({"kind": network.kind, **architecture}, self._params),
            vocabularies=network.vocabularies,
            pixel_range=network.pixel_range,
            licence=self._licence,
        )
        return saved.encoded_in(self._encode_dtype)

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
        function = functools.partial(_encode, self._network, self._encode_dtype, self._params)
        with self._devices():
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
        self._check_codes(codes_BFhw)
        clips, frames, rows, columns = codes_BFhw.shape
        function = functools.partial(_decode, self._network, self._params)
        codes_Nhw = codes_BFhw.reshape(clips * frames, rows, columns)
        with self._devices():
            pixels_NHWC = _in_chunks(function, codes_Nhw, self._chunk(rows, columns))
        return pixels_NHWC.reshape(clips, frames, *pixels_NHWC.shape[1:])

    def _check_codes(self, codes_BFhw: np.ndarray) -> None:
        sizes = np.array(self.spec.vocabularies)
        if codes_BFhw.ndim != 4 or codes_BFhw.shape[-1] % len(sizes):
            raise DataError(
                f"Give codes of shape (B, F, rows, columns), {len(sizes)} to a position, got {codes_BFhw.shape}"
            )
        part_w = np.arange(codes_BFhw.shape[-1]) % len(sizes)
        first_w = (np.cumsum(sizes) - sizes)[part_w]
        if ((codes_BFhw < first_w) | (codes_BFhw >= first_w + sizes[part_w])).any():
            several = (
                ""
                if len(sizes) == 1
                else f", those of each position from vocabularies of {sizes.tolist()} in turn"
            )
            raise DataError(
                f"Codes of this tokenizer are 0..{self.spec.codebook_size - 1}{several}, got {codes_BFhw.min()}.."
                f"{codes_BFhw.max()}; video.to_codes makes codes of token ids"
            )

    def _devices(self) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext() if self._mesh is None else jax.set_mesh(self._mesh)

    def _chunk(self, rows: int, columns: int) -> int:
        """Returns how many frames to take at once."""
        most = _CHUNK_VALUES_ON_CPU if jax.default_backend() == "cpu" else _CHUNK_VALUES
        return max(1, most // (rows * columns * self._network.values_of_code))


def content_hash(architecture: dict[str, Any], params: Params) -> str:
    """Returns the SHA-256 of settings and weights: names, dtypes, shapes and bytes, in order of the names."""
    digest = hashlib.sha256(json.dumps(architecture, sort_keys=True).encode())
    for name, leaf in sorted(named_leaves(params).items()):
        array = np.asarray(leaf)
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(json.dumps([name, array.dtype.name, array.shape]).encode())
        digest.update(np.ascontiguousarray(little).tobytes())
    return digest.hexdigest()


@functools.partial(jax.jit, static_argnums=(0, 1))
def _encode(network: Network, dtype: str, params: Params, pixels_NHWC: jax.Array) -> jax.Array:
    codes_Nhw = network.codes(params, constrain(pixels_NHWC, "batch", None, None, None), dtype)
    # Whole on every device, so that each process can read it.
    return constrain(codes_Nhw, None, None, None)


@functools.partial(jax.jit, static_argnums=0)
def _decode(network: Network, params: Params, codes_Nhw: jax.Array) -> jax.Array:
    pixels_NHWC = network.pixels(params, constrain(codes_Nhw, "batch", None, None))
    return constrain(pixels_NHWC, None, None, None, None)


def _in_chunks(function: Callable[[np.ndarray], jax.Array], frames: np.ndarray, most: int) -> np.ndarray:
    """Applies a function to at most `most` frames a device at a time, all chunks being of one size to compile once."""
    devices = max(jax.sharding.get_abstract_mesh().size, 1)
    chunk = -(-min(most * devices, max(len(frames), 1)) // devices) * devices
    results = []
    for start in range(0, max(len(frames), 1), chunk):
        part = frames[start : start + chunk]
        full = np.zeros((chunk, *frames.shape[1:]), frames.dtype)
        full[: len(part)] = part
        results.append(np.asarray(function(full))[: len(part)])
    return np.concatenate(results)
