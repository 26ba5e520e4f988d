"""One input, wherever it lies -> its picture or its wanted frames: the door from items to the decoders."""

import contextlib
import io
import os
import pathlib
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from toto_jax.data.byte_range import ByteRange
from toto_jax.data.frame_folder import read_frame_folder, read_frames
from toto_jax.data.image_reader import read_image
from toto_jax.data.media import MediaItem
from toto_jax.data.sources import tfds
from toto_jax.data.video_reader import VideoFrames, read_video
from toto_jax.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image


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
        return read_frames(item.name, _pictures_of_record(item), choose, prepare, size, max_pixels)
    with opened_item(item) as source:
        if isinstance(source, pathlib.Path) and source.is_dir():
            return read_frame_folder(source, choose, prepare, size, max_pixels)
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


def _pictures_of_record(item: MediaItem) -> list[BinaryIO]:
    pictures = []
    for number, content in enumerate(tfds.read_pictures(item)):
        picture = io.BytesIO(content)
        picture.name = f"{item.name}#{number}" if item.kind == "video" else item.name
        pictures.append(picture)
    return pictures
