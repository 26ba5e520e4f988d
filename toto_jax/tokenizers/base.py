"""What a tokenizer is to everybody else: a spec, `encode` and `decode`.

Shapes: B clips, F frames, N = B*F frames, H x W pixels, h x w codes, C = 3 colours.
"""

import dataclasses
import hashlib
import json
from typing import Any, Protocol

import jax
import numpy as np

from toto_jax.errors import ConfigError, nearest
from toto_jax.tree import Params

ENCODE_DTYPES = ("float32", "bfloat16")


@dataclasses.dataclass(frozen=True)
class TokenizerSpec:
    """All that a model, a shard or a reader needs to know of a tokenizer without running it.

    Attributes:
      kind: which family, e.g. "dvae" or "pixels" (raw uint8 frames, no codes).
      codebook_size: codes are 0..codebook_size-1.
      downsampling: pixels to a side of one position.
      architecture: the family's own settings, enough to build it again.
      content_hash: of settings, weights and `encode_dtype`; equal hashes give equal codes. Shards carry it.
      vocabularies: of the codes that stand side by side at a position, which together make codebook_size; the second's
        codes begin where the first's end. Most tokenizers have one.
      pixel_range: what the network makes of black and white; callers give uint8.
      licence: of the weights, where they were imported.
      encode_dtype: that the encoder's convolutions compute in. Codes differ in some places from one to the other, so a
        tokenizer in bfloat16 counts as another one.

    Raises:
      ConfigError: if the vocabularies don't make the codebook, or on an unknown dtype.
    """

    kind: str
    codebook_size: int
    downsampling: int
    architecture: dict[str, Any]
    content_hash: str
    vocabularies: tuple[int, ...] = ()
    pixel_range: tuple[float, float] = (0.0, 255.0)
    licence: str = ""
    encode_dtype: str = "float32"

    def __post_init__(self) -> None:
        # As JSON has them, so that a spec that was read equals the one that was written.
        plain = json.loads(json.dumps(self.architecture))
        object.__setattr__(self, "architecture", plain)
        object.__setattr__(self, "vocabularies", tuple(self.vocabularies) or (self.codebook_size,))
        object.__setattr__(self, "pixel_range", tuple(self.pixel_range))
        if sum(self.vocabularies) != self.codebook_size:
            raise ConfigError(
                f"Vocabularies of {self.vocabularies} codes make {sum(self.vocabularies)}, not {self.codebook_size}"
            )
        if self.encode_dtype not in ENCODE_DTYPES:
            raise ConfigError(
                f"config.tokenizer.encode_dtype={self.encode_dtype!r} is unknown; "
                f"{nearest(str(self.encode_dtype), ENCODE_DTYPES)}"
            )

    def encoded_in(self, dtype: str) -> "TokenizerSpec":
        """Returns what a saved tokenizer, whose spec this is, becomes when it encodes in another dtype."""
        if dtype == self.encode_dtype:
            return self
        content = f"{self.content_hash} encoded in {dtype}"
        return dataclasses.replace(
            self, encode_dtype=dtype, content_hash=hashlib.sha256(content.encode()).hexdigest()
        )

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Returns rows and columns of codes of a frame of `height` x `width` pixels.

        Raises:
          ConfigError: if the frame isn't a whole number of codes, with the nearest sizes that are.
        """
        step = self.downsampling
        if height % step or width % step:
            down = (max(height // step, 1) * step, max(width // step, 1) * step)
            raise ConfigError(
                f"A {height}x{width} frame is not a whole number of codes of {step}x{step} pixels; "
                f"{down[0]}x{down[1]} or {down[0] + step}x{down[1] + step} would be"
            )
        return height // step, width // step * len(self.vocabularies)

    def to_json(self) -> dict[str, Any]:
        """Returns what `from_json` takes, with lists for tuples as in a file."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "TokenizerSpec":
        return cls(**values)


class Tokenizer(Protocol):
    """Turns frames into a grid of codes and back, frame by frame."""

    spec: TokenizerSpec

    def encode(self, video_BFHWC: np.ndarray) -> np.ndarray:
        """Returns codes_BFhw (int32) of uint8 RGB frames."""

    def decode(self, codes_BFhw: np.ndarray) -> np.ndarray:
        """Returns uint8 RGB frames video_BFHWC of codes."""


class Network(Protocol):
    """A tokenizer as pure functions of its parameters; equal ones share compiled programs.

    Attributes:
      kind: which family.
      config: a frozen dataclass of its sizes, with `codebook_size` and `halvings`.
      vocabularies: see `TokenizerSpec`.
      pixel_range: see `TokenizerSpec`.
      values_of_code: of the largest activation, for each position: what limits how many frames go at once.
    """

    kind: str
    config: Any
    vocabularies: tuple[int, ...]
    pixel_range: tuple[float, float]
    values_of_code: int

    def init(self, key: jax.Array) -> Params:
        """Returns float32 parameters, a nested dict."""

    def logical_axes(self) -> Any:
        """Returns a tree like `init`'s whose leaves are tuples of logical axis names."""

    def codes(self, params: Params, pixels_NHWC: jax.Array, dtype: str = "float32") -> jax.Array:
        """Returns codes_Nhw (int32) of uint8 pixels, `dtype` being that of all convolutions but the last, 1x1."""

    def pixels(self, params: Params, codes_Nhw: jax.Array) -> jax.Array:
        """Returns uint8 pixels_NHWC of codes."""
