"""Files as they lie: a folder of any depth, a list of paths, or one file."""

import os
import pathlib
from collections.abc import Iterator

from toto_jax.data.media import IMAGES, VIDEOS, MediaItem, extensions, file_item, kind_of, walk, walk_links
from toto_jax.errors import DataError


def list_items(media: str, annotations: tuple[str, ...], labelled: bool) -> Iterator[MediaItem]:
    """Yields the inputs of a folder, a list, or one file; the class is the folder that a file lies in.

    Args:
      media: a folder (searched to any depth for files with an extension of videos or images; names that start
        with a dot are passed over), a text file with one path a line, relative to the file's own folder (any
        extension that is not an image's counts as a video's, and a folder's pictures are a video's frames), or
        one video or image.
      annotations: none.
      labelled: whether classes are wanted.

    Raises:
      DataError: if there is no such file or folder, or no media; it says what was looked for and found.
    """
    root = pathlib.Path(media)

    def label(path: str) -> str | None:
        return os.path.basename(os.path.dirname(os.path.abspath(path))) if labelled else None

    if root.is_dir():
        found = False
        for name, there in walk_links(root):
            if kind := kind_of(name):
                found = True
                path = os.path.join(root, name)
                yield file_item(name, path, label(path), look=kind == "video" or not there)
        if not found:
            raise DataError(
                f"{root} has no videos ({VIDEOS}) or images ({IMAGES}) at any depth; it has "
                f"{extensions(walk(root))}"
            )
    elif not root.is_file():
        raise DataError(
            f"config.data.media={media!r} is neither a file nor a folder (looked in {pathlib.Path.cwd()})"
        )
    elif kind_of(root.name):
        yield file_item(root.name, str(root), label(str(root)))
    else:
        for line in _lines(root):
            path = os.path.join(root.parent, line)
            yield file_item(pathlib.PurePath(line).as_posix(), path, label(path))


def _lines(path: pathlib.Path) -> list[str]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError:
        raise DataError(
            f"{path} is neither a folder, a list (a text file with one path a line), nor a file with an "
            f"extension of videos ({VIDEOS}) or images ({IMAGES})"
        ) from None
    lines = [line for line in lines if line]
    if not lines:
        raise DataError(
            f"The list {path} has no lines; it should have one path of a video or an image a line"
        )
    return lines
