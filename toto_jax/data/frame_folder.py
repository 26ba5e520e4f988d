"""Pictures as a video: those of a folder, in the order of their names, or others that are its frames."""

import pathlib
import re
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from toto_jax.data.image_reader import read_image
from toto_jax.data.media import pictures_in
from toto_jax.data.video_reader import VideoFrames
from toto_jax.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image


def read_frame_folder(
    path: pathlib.Path,
    choose: Callable[[int], Collection[int]],
    prepare: Callable[["Image"], np.ndarray],
    size: int,
    max_pixels: int,
    max_frames: int,
) -> VideoFrames:
    """Reads the frames that `choose` names; the arguments are those of `video_reader.read_video`.

    Raises:
      DataError: if a wanted frame can't be used, there are too many, or `choose` finds them too few.
    """
    try:
        found = pictures_in(path)
    except OSError as error:
        raise DataError(f"{path.name} can't be listed: {error.strerror}") from error
    pictures = sorted(map(pathlib.Path, found), key=lambda picture: _by_numbers(picture.name))
    return read_frames(path.name, pictures, choose, prepare, size, max_pixels, max_frames)


def read_frames(
    name: str,
    pictures: Sequence[pathlib.Path | BinaryIO],
    choose: Callable[[int], Collection[int]],
    prepare: Callable[["Image"], np.ndarray],
    size: int,
    max_pixels: int,
    max_frames: int,
) -> VideoFrames:
    """Reads the frames that `choose` names of a video that comes as pictures.

    Args:
      name: what errors call it.
      pictures: its frames, in order.
      choose: as all that follow, of `video_reader.read_video`.

    Raises:
      DataError: if a wanted frame can't be used, there are too many, or `choose` finds them too few.
    """
    if len(pictures) > max_frames:
        raise DataError(f"{name} has {len(pictures):,} frames; config.clips.max_frames allows {max_frames:,}")
    try:
        wanted = choose(len(pictures))
        frames = {index: prepare(read_image(pictures[index], size, max_pixels)) for index in wanted}
    except DataError as error:
        raise DataError(f"{name} {error}") from None
    return VideoFrames(frames, dict.fromkeys(wanted), len(pictures), None)


def _by_numbers(name: str) -> list[tuple[int, str]]:
    """Returns a key that puts frame9 before frame10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
