"""One video -> the frames that a caller wants of it, upright and in display order.

The container's word is not taken for the number of frames, their order or their times: the video is decoded
once from end to end, so that damage anywhere is found, and only the wanted frames become RGB. The header's
frame count serves as a guess of what will be wanted; where it proves wrong, a second pass fetches the frames.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from toto_jax.data.video_file import open_video
from toto_jax.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclasses.dataclass(frozen=True)
class VideoFrames:
    """The wanted frames of a video.

    Attributes:
      frames: index in display order -> what `prepare` made of that frame.
      seconds: index -> time since the first frame.
      frame_count: of the whole video.
      frames_per_second: mean rate by the frames' own times; None where they have none.
    """

    frames: dict[int, np.ndarray]
    seconds: dict[int, float | None]
    frame_count: int
    frames_per_second: float | None


@dataclasses.dataclass
class _Pass:
    """What one pass over a video found, by position in the order of decoding."""

    guess: int = 0
    frames: dict[int, np.ndarray] = dataclasses.field(default_factory=dict)
    seconds: list[float | None] = dataclasses.field(default_factory=list)


def read_video(
    source: pathlib.Path | BinaryIO,
    choose: Callable[[int], Collection[int]],
    prepare: Callable[["Image"], np.ndarray],
    size: int,
    max_pixels: int,
    max_frames: int,
) -> VideoFrames:
    """Decodes a video and keeps the frames that `choose` names.

    It holds one decoded frame, a time for each frame, and what `prepare` returns for the wanted ones. Pixels
    are taken to be square.

    Args:
      source: any file that FFmpeg opens, GIF included, or a seekable stream of one, with a name.
      choose: frame count -> wanted indices in display order. Must be pure: it is asked about the header's
        count too, and may raise DataError when a count is too small.
      prepare: upright RGB frame -> what to keep of it.
      size: what the shortest side will become, for the check of its size.
      max_pixels: `config.clips.max_pixels`.
      max_frames: `config.clips.max_frames`.

    Raises:
      DataError: if it is missing, no video, too large, too short for `choose`, or breaks part-way (with the
        number of frames that came before); the message names the file, not its folder.
    """
    try:
        first = _decode(
            source, lambda guess: _try(choose, guess), prepare, size, max_pixels, max_frames, whole=True
        )
        count = len(first.seconds)
        order = _display_order(first.seconds)
        wanted = choose(count)
        if first.guess == count and order == list(range(count)):
            frames = first.frames
        else:
            position = {order[index]: index for index in wanted}
            second = _decode(source, lambda _: position, prepare, size, max_pixels, max_frames, whole=False)
            frames = {position[place]: frame for place, frame in second.frames.items()}
    except DataError as error:
        raise DataError(f"{source.name} {error}") from error
    seconds = [first.seconds[place] for place in order]
    begin, end = (seconds[0], seconds[-1]) if count else (None, None)
    timed = begin is not None and end is not None
    return VideoFrames(
        frames=frames,
        seconds={index: round(seconds[index] - begin, 6) if timed else None for index in wanted},
        frame_count=count,
        frames_per_second=(count - 1) / (end - begin) if timed and end > begin else None,
    )


def _try(choose: Callable[[int], Collection[int]], guess: int) -> Collection[int]:
    """What `choose` would want of a video as long as its header says: nothing if 0 or too short."""
    try:
        return choose(guess) if guess else ()
    except DataError:
        return ()


def _display_order(seconds: list[float | None]) -> list[int]:
    """Returns positions of decoding in order of their times: those of decoding where any time is missing."""
    positions = list(range(len(seconds)))
    if any(time is None for time in seconds):
        return positions
    return sorted(positions, key=seconds.__getitem__)


def _decode(
    source: pathlib.Path | BinaryIO,
    want: Callable[[int], Collection[int]],
    prepare: Callable[["Image"], np.ndarray],
    size: int,
    max_pixels: int,
    max_frames: int,
    whole: bool,
) -> _Pass:
    """Decodes from the start to the end, or if not `whole` to the last wanted position of decoding."""
    found = _Pass()
    with open_video(source, size, max_pixels, max_frames) as video:
        found.guess = video.guess
        wanted = want(found.guess)
        last = max(wanted, default=-1)
        for place, frame in enumerate(video.frames()):
            if place in wanted:
                found.frames[place] = prepare(video.picture(frame))
            found.seconds.append(frame.time)
            if place == last and not whole:
                break
    return found
