"""What a tokenizer is to everybody else: a spec, `encode` and `decode`.

Shapes: B clips, F frames, H x W pixels, h x w codes, C = 3 colours.
"""

import dataclasses
from typing import Any, Protocol

import numpy as np

from toto_jax.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class TokenizerSpec:
    """All that a model, a shard or a reader needs to know of a tokenizer without running it.

    Attributes:
      kind: which family, e.g. "dvae" or "pixels" (raw uint8 frames, no codes).
      codebook_size: codes are 0..codebook_size-1.
      downsampling: pixels to a side of one code.
      architecture: the family's own settings, enough to build it again.
      content_hash: of settings and weights; equal hashes give equal codes. Shards carry it.
    """

    kind: str
    codebook_size: int
    downsampling: int
    architecture: dict[str, Any]
    content_hash: str

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
        return height // step, width // step

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

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
