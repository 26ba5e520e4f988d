"""One input, wherever it lies -> its picture or its wanted frames: the door from items to the decoders."""

import contextlib
import errno
import io
import os
import pathlib
import stat
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from toto_jax.data.byte_range import ByteRange
from toto_jax.data.frame_folder import read_frame_folder, read_frames
from toto_jax.data.image_reader import read_image
from toto_jax.data.media import DISK_AWAY, MediaItem, pictures_in
from toto_jax.data.sources import tfds
from toto_jax.data.video_reader import VideoFrames, read_video
from toto_jax.errors import DataError, StorageError

if TYPE_CHECKING:
    from PIL.Image import Image

_ADVICE = (
    "If its disk is away, mount it again; if it was deleted, put it back, or begin in another folder "
    "(config.data.shards or --workdir)"
)


def read_item_image(item: MediaItem, size: int, max_pixels: int) -> "Image":
    """Reads the picture of an item of kind "image"; `image_reader.read_image` has the rest.

    Raises:
      DataError: if it can't be used.
    """
    if item.record is not None:
        (picture,) = _pictures_of_record(item)
        return read_image(picture, size, max_pixels)
    with opened_item(item) as source:
        return read_image(source, size, max_pixels)


def read_item_video(
    item: MediaItem,
    choose: Callable[[int], Collection[int]],
    prepare: Callable[["Image"], np.ndarray],
    size: int,
    max_pixels: int,
    max_frames: int,
) -> VideoFrames:
    """Reads the wanted frames of an item of kind "video"; the arguments are those of `video_reader.read_video`.

    Raises:
      DataError: if it can't be used.
    """
    if item.record is not None:
        return read_frames(
            item.name, _pictures_of_record(item), choose, prepare, size, max_pixels, max_frames
        )
    with opened_item(item) as source:
        if isinstance(source, pathlib.Path) and source.is_dir():
            return read_frame_folder(source, choose, prepare, size, max_pixels, max_frames)
        return read_video(source, choose, prepare, size, max_pixels, max_frames)


def is_video_file(item: MediaItem) -> bool:
    """Returns whether a video is one file, or a part of one, and not a row of pictures."""
    return item.record is None and (item.offset is not None or not os.path.isdir(item.path))


@contextlib.contextmanager
def opened_item(item: MediaItem) -> Iterator[pathlib.Path | BinaryIO]:
    """Gives what decoders open: the path of a file, or a stream of the bytes within a tar.

    Raises:
      DataError: if there is no such tar.
    """
    if item.offset is None:
        yield pathlib.Path(item.path)
        return
    archive = os.path.basename(item.path)
    try:
        length = os.path.getsize(item.path)
        if item.offset + item.size > length:
            raise DataError(f"{item.name} can't be read: {archive} is cut off after {length:,} bytes")
        stream = ByteRange(item.path, item.offset, item.size, os.path.basename(item.name))
    except OSError as error:
        raise DataError(f"{item.name} can't be read: {archive}: {error.strerror}") from error
    with io.BufferedReader(stream) as buffered:
        yield buffered


def check_disk(item: MediaItem) -> None:
    """Checks, of an input that couldn't be used, that its disk isn't to blame.

    What was missing when the inputs were listed has itself to blame, and so has what can't be read for lack of
    permission or for a bad sector. FFmpeg gives the same errors for damaged data, so its word isn't asked.

    Raises:
      StorageError: if the input was there and is gone, or the system says that its disk is.
    """
    if item.path is None:
        return
    # Of a TFDS set's record, the path ends in the name of its split.
    path = item.path if item.record is None else os.path.dirname(item.path)
    try:
        if stat.S_ISDIR(os.stat(path).st_mode):
            pictures = len(pictures_in(path))
            if item.record is None and item.size is not None and pictures < item.size:
                raise StorageError(
                    f"{path} held {item.size} pictures when the inputs were listed, and holds {pictures}. {_ADVICE}"
                )
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe must not be waited for
        try:
            os.pread(descriptor, 1, item.offset or 0)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in DISK_AWAY:
            raise StorageError(f"{path} can't be read: {error.strerror}. {_ADVICE}") from error
        if error.errno in (errno.ENOENT, errno.ENOTDIR) and item.size != 0:
            raise StorageError(
                f"{path} was there when the inputs were listed, and is gone. {_ADVICE}"
            ) from error


def _pictures_of_record(item: MediaItem) -> list[BinaryIO]:
    pictures = []
    for number, content in enumerate(tfds.read_pictures(item)):
        picture = io.BytesIO(content)
        picture.name = f"{item.name}#{number}" if item.kind == "video" else item.name
        pictures.append(picture)
    return pictures
