"""A long video as a stream of clips: one from each stretch of so many seconds, in one pass, a clip in memory at a time.

Shapes: F frames of a clip.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from toto_jax.data.clips import ClipsConfig
from toto_jax.data.video_file import open_video
from toto_jax.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclasses.dataclass(frozen=True)
class Window:
    """The clip of one stretch.

    Attributes:
      number: of the stretch, and of the clip within its video.
      frames: what `prepare` made of its F frames.
      indices_F: of its frames within the video.
      seconds: of the first one since the video's first; None where frames have no times.
      frames_per_second: of the video, by its header.
    """

    number: int
    frames: list[np.ndarray]
    indices_F: np.ndarray
    seconds: float | None
    frames_per_second: float


def read_windows(
    source: pathlib.Path | BinaryIO,
    prepare: Callable[["Image"], np.ndarray],
    config: ClipsConfig,
    draw: Callable[[int], np.random.Generator],
) -> Iterator[Window]:
    """Yields the clip of each stretch of `config.every_seconds` (or of a clip, if that is longer).

    A last stretch that isn't whole has none. Stretches are counted in frames, by the header's frame rate.

    Args:
      source: any file that FFmpeg opens, or a seekable stream of one, with a name.
      prepare: upright RGB frame -> what to keep of it.
      config: how clips are cut.
      draw: number of a stretch -> generator of its clip's start, uniform over all that fit.

    Raises:
      DataError: after the clips that come before, if the video breaks, tells no frame rate, or stores its frames in
        another order than they are shown in.
    """
    try:
        with open_video(source, config.size, config.max_pixels, config.max_frames) as video:
            if video.rate is None:
                raise DataError("tells no frame rate; set config.clips.per_video and not every_seconds")
            span = (config.frames - 1) * config.stride + 1
            length = max(round(config.every_seconds * video.rate), span)
            number, begin, before, kept = -1, None, None, []
            for place, frame in enumerate(video.frames()):
                if frame.time is not None:
                    begin = frame.time if begin is None else begin
                    if before is not None and frame.time < before:
                        raise DataError(
                            "stores its frames in another order than they are shown in; set "
                            "config.clips.per_video and not every_seconds"
                        )
                    before = frame.time
                if place // length != number:
                    number, kept = place // length, []
                    first = number * length + int(draw(number).integers(length - span + 1))
                    indices_F = first + config.stride * np.arange(config.frames)
                if len(kept) < config.frames and place == indices_F[len(kept)]:
                    if not kept:
                        seconds = None if frame.time is None else round(frame.time - begin, 6)
                    kept.append(prepare(video.picture(frame)))
                    if len(kept) == config.frames:
                        yield Window(number, kept, indices_F, seconds, video.rate)
    except DataError as error:
        raise DataError(f"{source.name} {error}") from error
