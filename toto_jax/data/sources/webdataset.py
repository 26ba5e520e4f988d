"""Tar shards in WebDataset's form: files of one example share the name up to its first dot, `<key>.<ext>`.

Members are read where they lie: a tar's headers are gone through once, when inputs are listed, and an item keeps the
place of its bytes. A class is in `<key>.cls` (text), or under "label" or "cls" in `<key>.json`.
"""

import dataclasses
import json
import os
import pathlib
import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from toto_jax.data.media import MediaItem, extensions, kind_of, official_split, walk
from toto_jax.errors import DataError

_LABEL_KEYS = ("label", "cls")
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


def list_items(media: str, annotations: tuple[str, ...], labelled: bool) -> Iterator[MediaItem]:
    """Yields the members of tars that are videos or images by their extension.

    A tar with the word train, val or test in its path below the folder is that split's, where tests count as
    validation. One that ends too early gives what comes before the cut, and an input that is rejected by its name.

    Args:
      media: a folder with .tar files at any depth, or one such file.
      annotations: none.
      labelled: whether classes are wanted.

    Raises:
      DataError: if there is no tar, or no video or image in any.
    """
    root = pathlib.Path(media)
    if root.is_file():
        tars, root = [root.name], root.parent
    else:
        if not root.is_dir():
            raise DataError(f"config.data.media={media!r} is neither a folder of .tar files nor one of them")
        files = list(walk(root))
        tars = sorted(name for name in files if name.lower().endswith(".tar"))
        if not tars:
            packed = [name for name in files if name.lower().endswith(_COMPRESSED)]
            advice = f"; {packed[0]} is compressed: unpack it to a plain .tar" if packed else ""
            raise DataError(f"{root} has no .tar files at any depth; it has {extensions(files)}{advice}")
    found, others = False, []
    for tar in tars:
        path = os.path.join(root, tar)
        split = official_split(*pathlib.PurePosixPath(tar).with_suffix("").parts)
        contents = _scan(path, labelled)
        found = found or bool(contents.media)
        others = [] if found else others + contents.others
        for name, offset, size in contents.media:
            label = contents.labels.get(_key(name))
            yield MediaItem(f"{tar}/{name}", kind_of(name), label, path, size, split, offset)
        if contents.cut_at is not None:
            # Lies behind the end, so that reading it fails and says that the tar is cut off.
            yield MediaItem(f"{tar}/...", "video", None, path, 1, split, contents.cut_at)
    if not found:
        raise DataError(f"The tars of {media} hold no videos or images; they have {extensions(others)}")


@dataclasses.dataclass
class _Contents:
    """What a tar holds: (name, offset, size) of media, key -> class, names of all else, and where it breaks off."""

    media: list[tuple[str, int, int]] = dataclasses.field(default_factory=list)
    labels: dict[str, str] = dataclasses.field(default_factory=dict)
    others: list[str] = dataclasses.field(default_factory=list)
    cut_at: int | None = None


def _scan(path: str, labelled: bool) -> _Contents:
    """Goes through a tar's headers."""
    contents = _Contents()
    with open(path, "rb") as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for member in archive:
                    name = member.name.removeprefix("./")
                    if not member.isfile() or os.path.basename(name).startswith("."):
                        continue
                    if kind_of(name):
                        contents.media.append((name, member.offset_data, member.size))
                    elif labelled and (label := _label(name, file, member)):
                        contents.labels[_key(name)] = label
                    else:
                        contents.others.append(name)
            # A header that makes no sense ends the archive without a word, but only zeros may follow the last one.
            file.seek(archive.offset)
            whole = not file.read(tarfile.BLOCKSIZE).strip(b"\0")
        except tarfile.TarError:
            whole = False
        if not whole:
            contents.cut_at = file.seek(0, os.SEEK_END)
    return contents


def _key(name: str) -> str:
    """Returns the name up to the first dot behind the last slash."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.split(".")[0]


def _label(name: str, file: BinaryIO, member: tarfile.TarInfo) -> str | None:
    """Returns the class that a member tells, or None."""
    if not name.endswith((".cls", ".json")):
        return None
    file.seek(member.offset_data)
    text = file.read(member.size).decode("utf-8", "replace").strip()
    if name.endswith(".cls"):
        return text
    try:
        values = json.loads(text)
    except ValueError:
        return None
    given = [values[key] for key in _LABEL_KEYS if key in values] if isinstance(values, dict) else []
    return str(given[0]) if given else None
