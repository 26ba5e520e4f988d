"""A video file, opened: its frames one after the other, in the order of decoding, checked for size and damage.

Network and other protocols are shut out, and so are huge frames while FFmpeg looks at the file.
"""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from toto_jax.data.clips import check_pixels
from toto_jax.errors import DataError, require

if TYPE_CHECKING:
    from PIL.Image import Image

# Text files that FFmpeg would follow to other files.
_PLAYLISTS = {"concat", "concatf", "dash", "hls", "imf"}
# Formats that just end where they were cut off, but whose headers say how long they should be.
_SILENTLY_CUT = {"asf", "flv", "matroska,webm"}


class VideoFile:
    """An open video; `open_video` makes it.

    Attributes:
      guess: how many frames the header says that there are; 0 if it doesn't.
      rate: frames per second by the header; None if it doesn't say.
      seen: frames decoded so far.
    """

    def __init__(self, container: Any, size: int, max_pixels: int, max_frames: int):
        self._container, self._size, self._max_pixels = container, size, max_pixels
        self._max_frames = max_frames
        self._stream = _video_stream(container, size, max_pixels)
        self.guess: int = self._stream.frames
        self.rate = _rate(self._stream)
        self.seen = 0

    def frames(self) -> Iterator[Any]:
        """Yields PyAV's frames.

        Raises:
          DataError: on damaged data, too many frames, or an end before the one that the header promises.
        """
        end = 0.0
        for packet in self._container.demux():
            if packet.pts is not None and packet.time_base:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream.index != self._stream.index:
                continue
            for frame in packet.decode():
                if self.seen == self._max_frames:
                    raise DataError("config.clips.max_frames allows no more")
                if frame.is_corrupt or packet.is_corrupt:
                    raise DataError(f"has damaged or cut-off data in frame {self.seen}")
                yield frame
                self.seen += 1
        _check_end(self._container, end)

    def picture(self, frame: Any) -> "Image":
        """Returns a frame as RGB, turned by its rotation metadata (degrees counter-clockwise).

        Raises:
          DataError: if it has grown too large.
        """
        check_pixels(frame.height, frame.width, self._size, self._max_pixels)
        quarter_turns = round(frame.rotation / 90) % 4
        return frame.to_image().rotate(90 * quarter_turns, expand=True)


@contextlib.contextmanager
def open_video(
    source: pathlib.Path | BinaryIO, size: int, max_pixels: int, max_frames: int
) -> Iterator[VideoFile]:
    """Opens a video, and turns what goes wrong with it into a DataError without its name.

    Args:
      source: any file that FFmpeg opens, GIF included, or a seekable stream of one.
      size: what the shortest side will become, for the check of its size.
      max_pixels: `config.clips.max_pixels`.
      max_frames: `config.clips.max_frames`.

    Raises:
      DataError: if it is missing, no video, too large, or breaks part-way (with the number of frames before).
    """
    av = require("av", "train")
    options = {"protocol_whitelist": "file", **_pixel_limit(max_pixels)}
    # Before version 19, PyAV refuses files with a title that isn't UTF-8 unless told not to.
    lenience = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
    video = None
    try:
        if isinstance(source, pathlib.Path):
            opened = str(source.absolute())  # FFmpeg takes "a:b.mp4" for a protocol
        else:
            source.seek(0)
            opened = source
        with av.open(opened, options=options, **lenience) as container:
            video = VideoFile(container, size, max_pixels, max_frames)
            yield video
    except FileNotFoundError:
        raise DataError("does not exist") from None
    except (DataError, av.FFmpegError, OSError, ValueError, ArithmeticError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if video is not None and video.seen:
            raise DataError(f"breaks after {video.seen} frames: {reason}") from error
        if isinstance(error, DataError):
            raise
        raise DataError(f"can't be decoded as a video: {reason}") from error


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


def _rate(stream: Any) -> float | None:
    rate = stream.average_rate or stream.guessed_rate
    return float(rate) if rate else None


def _pixel_limit(max_pixels: int) -> dict[str, str]:
    """Returns FFmpeg's own limit, wider than ours: it counts padding, which outweighs small frames."""
    return {"max_pixels": str(min(max(2 * max_pixels, 2**24), 2**31 - 1))}


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
