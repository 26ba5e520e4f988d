"""The inputs of a job: what each is called, where it lies, its class and its split."""

import collections
import dataclasses
import errno
import hashlib
import json
import os
import pathlib
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from toto_jax.errors import DataError, StorageError

VIDEOS = "3gp asf avi f4v flv gif m2ts m4v mkv mov mp4 mpeg mpg mts nut ogv ts vob webm wmv"
IMAGES = "avif bmp jpeg jpg pbm pgm png ppm tif tiff webp"
_KINDS = {ext: kind for kind, all_of in (("video", VIDEOS), ("image", IMAGES)) for ext in all_of.split()}
_SPLITS = {
    "train": {"train", "training", "trainlist"},
    "validation": {"val", "valid", "validate", "validation", "test", "testing", "testlist"},
}
# What the system says of files whose network disk has gone away, and of no single file.
DISK_AWAY = frozenset({errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN})


@dataclasses.dataclass(frozen=True, slots=True)
class MediaItem:
    """One input. A job lists millions of them, so an item holds a few short strings and numbers.

    Attributes:
      name: what shards call it, whatever the machine; no two of a job have the same.
      kind: "video" or "image".
      label: name of its class, or None.
      path: the file, a folder of frames, the tar that it lies in, or `<folder>/<split>` of a TFDS set; None for a
        synthetic clip, which its name determines.
      size: in bytes, of a folder in pictures; 0 where nothing was found when the inputs were listed, or nothing is to
        be; None where finding out would have taken a look at each of millions of files.
      split: "train" or "validation" where the data set has official ones, or None.
      offset: of its first byte within a tar; None for a whole file.
      record: its number within the split of a TFDS set; None for all else.
    """

    name: str
    kind: str
    label: str | None
    path: str | None
    size: int | None
    split: str | None = None
    offset: int | None = None
    record: int | None = None

    @property
    def digest(self) -> bytes:
        """SHA-256 of the name, which splits and random draws follow: they don't change when media move."""
        return hashlib.sha256(os.fsencode(self.name)).digest()

    def to_json(self) -> str:
        """Returns one line of JSON, without a line break and without what is None."""
        values = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))
        return json.dumps({key: value for key, value in values if value is not None}, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str | bytes) -> "MediaItem":
        """Returns the item that `to_json` wrote."""
        values: dict[str, Any] = {"label": None, "path": None, "size": None} | json.loads(line)
        # Strings that many items share are held once.
        for key in ("kind", "label", "split"):
            if values.get(key) is not None:
                values[key] = sys.intern(values[key])
        return cls(**values)


def split(items: Iterable[MediaItem], validation_percent: float) -> dict[str, list[MediaItem]]:
    """Parts items into "train" and "validation": by their official split, the others by a hash of their names.

    Of those others the ones with the smallest hashes are held out: exactly `validation_percent` of them, rounded,
    but at least one in each split if there are two or more and the percentage is neither 0 nor 100.
    """
    parts: dict[str | None, list[MediaItem]] = {"train": [], "validation": [], None: []}
    order = []
    for item in items:
        parts[item.split].append(item)
        order.append(item)
    free = parts[None]
    if not free:
        return {"train": parts["train"], "validation": parts["validation"]}
    count = round(len(free) * validation_percent / 100)
    if len(free) >= 2 and 0 < validation_percent < 100:
        count = min(max(count, 1), len(free) - 1)
    held_out = {item.name for item in sorted(free, key=lambda item: item.digest)[:count]}

    def where(item: MediaItem) -> str:
        return item.split or ("validation" if item.name in held_out else "train")

    return {name: [item for item in order if where(item) == name] for name in ("train", "validation")}


def in_class_order(labels: Iterable[str | None]) -> list[str]:
    """Returns the distinct names of classes, sorted; those that are whole numbers come first, as numbers."""
    names = {label for label in labels if label is not None}
    return sorted(names, key=lambda name: (0, int(name), name) if _is_number(name) else (1, 0, name))


def official_split(*names: str) -> str | None:
    """Returns which split the words of some names mean, "train" or "validation" (which tests count as), or None."""
    words = {word for name in names for word in re.split(r"[^a-z]+", name.lower())}
    meant = [name for name, known in _SPLITS.items() if words & known]
    return meant[0] if len(meant) == 1 else None


def file_item(
    name: str, path: str, label: str | None = None, split: str | None = None, look: bool = True
) -> MediaItem:
    """Returns the item of one file or folder; a folder is a video, whose frames are the pictures in it.

    Args:
      name: of the item.
      path: of the file. It need not exist: then the item is rejected when it is read.
      label: of the item.
      split: likewise.
      look: whether to find out the size, so that a file that changed is another input.

    Raises:
      StorageError: if its disk has gone away.
    """
    label = label and sys.intern(label)
    return MediaItem(name, kind_of(path) or "video", label, path, _size(path) if look else None, split)


def pictures_in(folder: str | pathlib.Path) -> list[str]:
    """Returns the paths of the visible pictures that lie in a folder itself, in no order."""
    with os.scandir(folder) as entries:
        return [
            entry.path
            for entry in entries
            if kind_of(entry.name) == "image" and not entry.name.startswith(".") and entry.is_file()
        ]


def kind_of(path: str) -> str | None:
    """Returns "video" or "image" by the extension, or None."""
    return _KINDS.get(os.path.splitext(path)[1].lower().removeprefix("."))


def walk(root: pathlib.Path) -> Iterator[str]:
    """Yields all visible files under a folder, and links to files that aren't there; `walk_links` has the rest."""
    return (name for name, _ in walk_links(root))


def walk_links(root: pathlib.Path) -> Iterator[tuple[str, bool]]:
    """Yields each visible file under a folder, and whether it is there, which a broken link is not.

    Names are relative to the folder, with forward slashes, and come in no order across folders. Links are followed,
    each real folder once, so loops end. Nothing but folders and links is looked at twice: what the listing of a folder
    says of its files is enough.

    Raises:
      DataError: if a folder can't be listed.
    """
    seen, waiting = set(), [""]
    while waiting:
        folder = waiting.pop()
        place = os.path.join(root, folder)
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        try:
            with os.scandir(place) as found:
                entries = sorted(found, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            raise DataError(f"The folder {place} can't be listed: {error.strerror}") from error
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                waiting.append(f"{folder}{entry.name}/")
            # A broken link is listed, to be rejected by name.
            elif (there := entry.is_file()) or not os.path.exists(entry):
                yield f"{folder}{entry.name}", there


def extensions(names: Iterable[str]) -> str:
    """Returns how many files there are, and of which kinds, for an error: "3 files (2 of .txt, 1 of .pdf)"."""
    counts = collections.Counter(os.path.splitext(name)[1].lower() or "no extension" for name in names)
    common = ", ".join(f"{count} of {extension}" for extension, count in counts.most_common(5))
    return f"{counts.total()} files" + (f" ({common})" if common else "")


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal()


def _size(path: str) -> int:
    try:
        status = os.stat(path)
        return len(pictures_in(path)) if stat.S_ISDIR(status.st_mode) else status.st_size
    except OSError as error:
        if error.errno in DISK_AWAY:
            raise StorageError(
                f"{path} can't be looked at: {error.strerror}; is its disk mounted?"
            ) from error
        return 0
