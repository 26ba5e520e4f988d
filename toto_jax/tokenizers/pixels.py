"""The tokenizer that does nothing: shards of raw frames, to train tokenizers on and to look at.

Shapes: B clips, F frames, H x W pixels, C = 3 colours.
"""

import numpy as np

from toto_jax.tokenizers.base import TokenizerSpec


class PixelsTokenizer:
    """Raw uint8 RGB frames in place of codes."""

    spec = TokenizerSpec(
        kind="pixels", codebook_size=256, downsampling=1, architecture={}, content_hash="pixels"
    )

    def encode(self, video_BFHWC: np.ndarray) -> np.ndarray:
        """Returns the frames themselves."""
        return video_BFHWC

    def decode(self, codes_BFHWC: np.ndarray) -> np.ndarray:
        """Returns the frames themselves."""
        return codes_BFHWC
