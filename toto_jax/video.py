"""Clip geometry: frames x height x width of codes <-> positions in a token sequence.

A sequence is a start token, then the codes of the frames in time order, each frame in raster order, then an end
token (paper section 3.4: [1] starts a video, [3] a row of images, [2] ends both). Codes are shifted past the special
tokens, so that no code shares an id with one.

Shapes: B sequences, F frames, H x W codes of a frame, N = F*H*W codes, T = N + 2 tokens of a sequence.
"""

import dataclasses

import numpy as np

PAD = 0
VIDEO_START = 1
END = 2
IMAGE_START = 3
FIRST_CODE = 4
START_TOKENS = {"video": VIDEO_START, "image": IMAGE_START}


def vocabulary_size(codebook_size: int, multiple: int = 128) -> int:
    """Returns special tokens plus codes, rounded up to a multiple (odd vocabularies are slow on matrix units)."""
    return -(-(codebook_size + FIRST_CODE) // multiple) * multiple


@dataclasses.dataclass(frozen=True)
class ClipGeometry:
    """The grid of codes of one clip: `frames` x `height` x `width`."""

    frames: int
    height: int
    width: int

    @property
    def tokens_per_frame(self) -> int:
        return self.height * self.width

    @property
    def codes(self) -> int:
        """Codes of a clip: 4,096 for 16 frames of 16 x 16."""
        return self.frames * self.tokens_per_frame

    @property
    def sequence_length(self) -> int:
        """Tokens of a sequence: the codes between a start and an end token."""
        return self.codes + 2

    def frame_of(self, position: np.ndarray) -> np.ndarray:
        """Returns the frame of each code position 0..N-1."""
        return np.asarray(position) // self.tokens_per_frame

    def grid(self, codes_BN: np.ndarray) -> np.ndarray:
        """Returns codes_BFHW for flat codes; works on NumPy and JAX arrays, and on part of a clip's frames."""
        return codes_BN.reshape(codes_BN.shape[0], -1, self.height, self.width)


def to_sequences(codes_BN: np.ndarray, start_B: np.ndarray) -> np.ndarray:
    """Returns ids_BT, int32: start token, shifted codes, end token.

    Args:
      codes_BN: codes in 0..codebook_size-1, any integer dtype.
      start_B: each row's start token, `VIDEO_START` or `IMAGE_START`.
    """
    batch = codes_BN.shape[0]
    ids_BT = np.empty((batch, codes_BN.shape[1] + 2), np.int32)
    ids_BT[:, 0] = start_B
    ids_BT[:, 1:-1] = codes_BN
    ids_BT[:, 1:-1] += FIRST_CODE
    ids_BT[:, -1] = END
    return ids_BT


def to_batch(clips: np.ndarray, start_B: np.ndarray) -> dict[str, np.ndarray]:
    """Returns clips as tasks take them: codes as sequences `ids`, pixels as `pixels` with their `start` tokens.

    Args:
      clips: codes (B, F, h, w), or pixels (B, F, H, W, 3), uint8.
      start_B: each clip's start token, int32.
    """
    if clips.dtype == np.uint8:
        return {"pixels": clips, "start": start_B}
    return {"ids": to_sequences(clips.reshape(len(clips), -1), start_B)}


def to_codes(ids_BT: np.ndarray) -> np.ndarray:
    """Returns codes_BN of whole sequences: the inverse of `to_sequences`."""
    return ids_BT[:, 1:-1] - FIRST_CODE
