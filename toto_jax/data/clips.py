"""How clips are cut from media: which frames, at what size, and which square of them (paper section 3.4).

Shapes: F frames of a clip, H x W pixels, C = 3 colours.
"""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from toto_jax.errors import ConfigError, DataError, require

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclasses.dataclass(frozen=True)
class ClipsConfig:
    """`config.clips`; configs/default.py says what each key means.

    Raises:
      ConfigError: on a value that can't be.
    """

    size: int
    frames: int
    stride: int
    per_video: int
    every_seconds: float
    validation_percent: float
    files_per_shard: int
    encode_batch: int
    max_pixels: int
    max_frames: int
    synthetic_clips: int

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type is int and (type(value) is not int or value < 1):
                raise ConfigError(
                    f"config.clips.{field.name} must be a whole number of 1 or more, not {value!r}"
                )
        if self.every_seconds < 0 or (self.every_seconds and self.per_video != 1):
            raise ConfigError(
                f"config.clips.every_seconds={self.every_seconds!r} must be 0 for per_video clips of each video, or "
                f"above 0 with per_video=1 (it is {self.per_video})"
            )
        if not 0 <= self.validation_percent <= 100:
            raise ConfigError(
                f"config.clips.validation_percent must lie in 0..100, not {self.validation_percent!r}"
            )


def frame_indices(frame_count: int, frames: int, stride: int, rng: np.random.Generator) -> np.ndarray:
    """Returns the frames of a random clip, ascending: every `stride`-th from a random start.

    A video too short for that takes the largest smaller stride that fits.

    Args:
      frame_count: frames of the whole video.
      frames: of the clip, F.
      stride: in frames, whatever the frame rate (the paper takes every 4th).
      rng: draws the start, uniform over all that fit.

    Returns:
      indices_F, int64, in display order.

    Raises:
      DataError: if the video has fewer than F frames.
    """
    if frame_count < frames:
        raise DataError(f"has {frame_count} frame{'s' * (frame_count != 1)}, but a clip needs {frames}")
    if frames > 1:
        stride = min(stride, (frame_count - 1) // (frames - 1))
    start = rng.integers(frame_count - (frames - 1) * stride)
    return start + stride * np.arange(frames)


def check_pixels(height: int, width: int, size: int, max_pixels: int) -> None:
    """Checks, before anything is decoded, that neither a frame nor its resized copy is unreasonably large.

    Args:
      height: of the stored frame, in pixels.
      width: likewise.
      size: what its shortest side will become.
      max_pixels: the limit on both.

    Raises:
      DataError: if it has no pixels or too many; a long, thin frame may pass the limit by being resized.
    """
    if min(height, width) < 1:
        raise DataError(f"says that its frames are {width}x{height} pixels")
    if height * width > max_pixels:
        raise DataError(
            f"is {width}x{height} = {height * width:,} pixels large, over "
            f"config.clips.max_pixels={max_pixels:,}"
        )
    if size * size * max(height, width) // min(height, width) > max_pixels:
        raise DataError(
            f"is {width}x{height}: with the shortest side resized to {size} it would have more pixels than "
            f"config.clips.max_pixels={max_pixels:,}"
        )


def resize_shortest_side(image: "Image", size: int) -> "Image":
    """Returns the image with its shortest side at `size` pixels, its shape kept.

    Halves with a box filter while that leaves at least `size`, then goes the rest bicubically, as the
    preprocessing common since guided diffusion does: no aliasing, at a fraction of one wide filter's cost.
    """
    resampling = require("PIL.Image", "train").Resampling
    while min(image.size) >= 2 * size:
        image = image.resize((image.width // 2, image.height // 2), resampling.BOX)
    short = min(image.size)
    return image.resize(
        (round(image.width * size / short), round(image.height * size / short)), resampling.BICUBIC
    )


def crop_corner(height: int, width: int, size: int, rng: np.random.Generator) -> tuple[int, int]:
    """Returns top and left of a random square of `size` pixels in a frame, one for all frames of a clip."""
    return int(rng.integers(height - size + 1)), int(rng.integers(width - size + 1))
