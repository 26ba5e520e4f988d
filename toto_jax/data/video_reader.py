"""One video -> the frames that a caller wants of it, upright and in display order.

The container's word is not taken for the number of frames, their order or their times: the video is decoded
once from end to end, so that damage anywhere is found, and only the wanted frames become RGB. The header's
frame count serves as a guess of what will be wanted; where it proves wrong, a second pass fetches the frames.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from toto_jax.data.clips import check_pixels
from toto_jax.errors import DataError, require

if TYPE_CHECKING:
    from PIL.Image import Image

# Text files that FFmpeg would follow to other files.
_PLAYLISTS = {"concat", "concatf", "dash", "hls", "imf"}
# Formats that just end where they were cut off, but whose headers say how long they should be.
_SILENTLY_CUT = {"asf", "flv", "matroska,webm"}


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

    Raises:
      DataError: if it is missing, no video, too large, too short for `choose`, or breaks part-way (with the
        number of frames that came before); the message names the file, not its folder.
    """
    try:
        first = _decode(source, lambda guess: _try(choose, guess), prepare, size, max_pixels, whole=True)
        count = len(first.seconds)
        order = _display_order(first.seconds)
        wanted = choose(count)
        if first.guess == count and order == list(range(count)):
            frames = first.frames
        else:
            position = {order[index]: index for index in wanted}
            second = _decode(source, lambda _: position, prepare, size, max_pixels, whole=False)
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
    whole: bool,
) -> _Pass:
    """Decodes from the start to the end, or if not `whole` to the last wanted position of decoding."""
    av = require("av", "train")
    found = _Pass()
    # Network and other protocols are shut out, and so are huge frames while FFmpeg probes the file.
    options = {"protocol_whitelist": "file", **_pixel_limit(max_pixels)}
    # Before version 19, PyAV refuses files with a title that isn't UTF-8 unless told not to.
    lenience = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
    try:
        if isinstance(source, pathlib.Path):
            opened = str(source.absolute())  # FFmpeg takes "a:b.mp4" for a protocol
        else:
            source.seek(0)
            opened = source
        with av.open(opened, options=options, **lenience) as container:
            stream = _video_stream(container, size, max_pixels)
            found.guess = stream.frames
            wanted = want(found.guess)
            last = max(wanted, default=-1)
            end = 0.0
            for packet in container.demux():
                if packet.pts is not None and packet.time_base:
                    end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                if packet.stream.index != stream.index:
                    continue
                for frame in packet.decode():
                    place = len(found.seconds)
                    if frame.is_corrupt or packet.is_corrupt:
                        raise DataError(f"has damaged or cut-off data in frame {place}")
                    if place in wanted:
                        check_pixels(frame.height, frame.width, size, max_pixels)
                        found.frames[place] = prepare(_upright(frame))
                    found.seconds.append(frame.time)
                    if place == last and not whole:
                        return found
            _check_end(container, end)
    except FileNotFoundError:
        raise DataError("does not exist") from None
    except (DataError, av.FFmpegError, OSError, ValueError, ArithmeticError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if found.seconds:
            raise DataError(f"breaks after {len(found.seconds)} frames: {reason}") from error
        if isinstance(error, DataError):
            raise
        raise DataError(f"can't be decoded as a video: {reason}") from error
    return found


def _video_stream(container: Any, size: int, max_pixels: int) -> Any:
    """Returns the container's main video stream, set to decode in this thread alone."""
    if container.format.name in _PLAYLISTS:
        raise DataError(f"is a list of other files ({container.format.name}), not a video")
    stream = container.streams.best("video")
    if stream is None:
        raise DataError("has no video stream")
    context = stream.codec_context
    if context.width * context.height == 0:
        raise DataError(f"has no readable frame size: it is damaged, or over {max_pixels:,} pixels a frame")
    check_pixels(context.height, context.width, size, max_pixels)
    context.options = _pixel_limit(max_pixels)  # for frames that grow in mid-stream
    stream.thread_type = "NONE"  # clips are decoded in parallel; frames within one need not be
    return stream


def _pixel_limit(max_pixels: int) -> dict[str, str]:
    """Returns FFmpeg's own limit, wider than ours: it counts padding, which outweighs small frames."""
    return {"max_pixels": str(min(max(2 * max_pixels, 2**24), 2**31 - 1))}


def _upright(frame: Any) -> "Image":
    """Returns a decoded frame as RGB, turned by its rotation metadata (degrees counter-clockwise)."""
    quarter_turns = round(frame.rotation / 90) % 4
    return frame.to_image().rotate(90 * quarter_turns, expand=True)


def _check_end(container: Any, end: float) -> None:
    """Checks that packets reach as far as the header promises, where nothing else would show a cut.

    Raises:
      DataError: if more than a tenth of the promised time is missing.
    """
    if container.format.name not in _SILENTLY_CUT or not container.duration:
        return
    promised = container.duration / 1e6
    begin = (container.start_time or 0) / 1e6
    if end - begin < 0.9 * promised - 0.1:
        raise DataError(f"ends at {end - begin:.1f} s of the {promised:.1f} s that its header promises")
