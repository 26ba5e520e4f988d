"""Lists of "path label" lines beside a folder of media, as SlowFast, mmaction and UCF101 have them."""

import os
import pathlib
from collections.abc import Callable, Iterator

from toto_jax.data.media import MediaItem, file_item, kind_of, official_split
from toto_jax.data.sources.annotations import annotation_files, media_folder, read_text
from toto_jax.errors import DataError

_WANTED = "one or more lists of 'path label' lines, like train.csv and val.csv"


def list_items(media: str, annotations: tuple[str, ...], labelled: bool) -> Iterator[MediaItem]:
    """Yields what the lists name; a class is what follows the path, and a line without one has none.

    Path and class stand apart by a tab, a comma or a space. A path is relative to the folder of media, or absolute;
    it may have spaces in it, and may be a folder of frames. A list whose name has the word train, val or test in it
    is that split's, where tests count as validation.

    Args:
      media: the folder.
      annotations: the lists.
      labelled: whether classes are wanted.

    Raises:
      ConfigError: if no lists are named.
      DataError: if a list is missing or empty, or nothing exists of all that they name.
    """
    return _listed(media, annotations, lambda path, label: label if labelled else None)


def list_ucf101(media: str, annotations: tuple[str, ...], labelled: bool) -> Iterator[MediaItem]:
    """Yields what UCF101's lists name (`trainlist01.txt`, `testlist01.txt`); a class is the video's folder.

    The lists for training end each line with the number of the class, those for testing don't, so the folders are
    what both agree in. Arguments and errors are those of `list_items`.
    """

    def folder(path: str, label: str | None) -> str | None:
        return os.path.basename(os.path.dirname(path)) if labelled else None

    return _listed(media, annotations, folder)


def _listed(
    media: str, annotations: tuple[str, ...], classify: Callable[[str, str | None], str | None]
) -> Iterator[MediaItem]:
    root = media_folder(media)
    lists = annotation_files(root, annotations, _WANTED)
    inputs, there = 0, False
    for path in lists:
        for line in read_text(path).splitlines():
            if not line.strip():
                continue
            name, label = _parse(line.strip())
            place = os.path.join(root, name)
            item = file_item(
                pathlib.PurePath(name).as_posix(), place, classify(place, label), official_split(path.stem)
            )
            inputs, there = inputs + 1, there or item.size > 0
            yield item
    shown = " and ".join(map(str, lists))
    if not inputs:
        raise DataError(f"{shown} has no lines; it should be {_WANTED}")
    if not there:
        raise DataError(f"Nothing of the {inputs} inputs that {shown} names exists; the last is {place}")


def _parse(line: str) -> tuple[str, str | None]:
    """Returns a line's path and class."""
    parted = [line.rpartition(separator) for separator in ("\t", ",", " ")]
    # "my video.mp4" is one path: what follows the space is the end of a file's name.
    parted = [
        (path.strip(), label.strip()) for path, found, label in parted if path and kind_of(label) is None
    ]
    # A path may hold a comma or a space itself; a file's extension says where it ends, a folder's name doesn't.
    files = [(path, label) for path, label in parted if kind_of(path)]
    return (files or parted or [(line, None)])[0]
