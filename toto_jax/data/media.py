"""The media of a job: which files there are, what each is called, its class, and its split."""

import collections
import dataclasses
import hashlib
import json
import os
import pathlib

from toto_jax.data import synthetic
from toto_jax.data.config import LABELS
from toto_jax.errors import ConfigError, DataError, nearest

_VIDEOS = "3gp asf avi f4v flv gif m2ts m4v mkv mov mp4 mpeg mpg mts nut ogv ts vob webm wmv"
_IMAGES = "avif bmp jpeg jpg pbm pgm png ppm tif tiff webp"
_KINDS = {"video": frozenset(_VIDEOS.split()), "image": frozenset(_IMAGES.split())}
SYNTHETIC = "synthetic"


@dataclasses.dataclass(frozen=True)
class MediaItem:
    """One input.

    Attributes:
      name: relative to the folder or list that it comes from, with forward slashes; what shards call it.
      kind: "video" or "image".
      label: name of its class, or None.
      path: the file, or a folder of frames; None for a synthetic clip, which its name determines.
      size: of the file in bytes; 0 if there is none.
    """

    name: str
    kind: str
    label: str | None
    path: pathlib.Path | None
    size: int

    @property
    def digest(self) -> bytes:
        """SHA-256 of the name, which splits and random draws follow: they don't change when media move."""
        return hashlib.sha256(os.fsencode(self.name)).digest()

    def to_json(self) -> str:
        """Returns one line that `from_json` reads."""
        path = None if self.path is None else str(self.path)
        return json.dumps(dataclasses.asdict(self) | {"path": path})

    @classmethod
    def from_json(cls, line: str | bytes) -> "MediaItem":
        values = json.loads(line)
        path = values.pop("path")
        return cls(**values, path=None if path is None else pathlib.Path(path))


def list_media(media: str, labels: str, synthetic_clips: int) -> list[MediaItem]:
    """Lists inputs, sorted by name.

    Args:
      media: a folder (searched to any depth for files with an extension of videos or images; names that start
        with a dot are passed over), a text file with one path a line, relative to the file's own folder (any
        extension that is not an image's counts as a video's, and a folder's pictures are a video's frames;
        duplicates count once), one video or image, or "synthetic".
      labels: "folder" takes the name of the folder that a file lies in for its class; "none".
      synthetic_clips: how many of them, if so.

    Raises:
      ConfigError: on other labels, or no media at all.
      DataError: if there is no such file or folder, or no media; it says what was looked for and found.
    """
    if labels not in LABELS:
        raise ConfigError(f"config.data.labels has no choice {labels!r}; {nearest(labels, LABELS)}")
    if not media:
        raise ConfigError(
            "config.data.media is empty: give a folder or a list of videos and images, or 'synthetic'"
        )
    if media == SYNTHETIC:
        names = [synthetic.clip_name(index) for index in range(synthetic_clips)]
        return [media_item(name, None, labels) for name in sorted(names)]
    root = pathlib.Path(media)
    if root.is_dir():
        found = _walk(root)
        named = {path.relative_to(root).as_posix(): path for path in found if _kind(path)}
        if not named:
            raise DataError(_nothing_in(root, found))
    elif not root.is_file():
        raise DataError(
            f"config.data.media={media!r} is neither a file nor a folder (looked in {pathlib.Path.cwd()})"
        )
    elif _kind(root):
        named = {root.name: root}
    else:
        named = _read_list(root)
    return [media_item(name, named[name], labels) for name in sorted(named)]


def split(items: list[MediaItem], validation_percent: float) -> dict[str, list[MediaItem]]:
    """Parts items into "train" and "validation" by a hash of their names.

    Validation are the items with the smallest hashes: exactly `validation_percent` of them, rounded, but at
    least one in each split if there are two or more and the percentage is neither 0 nor 100.
    """
    count = round(len(items) * validation_percent / 100)
    if len(items) >= 2 and 0 < validation_percent < 100:
        count = min(max(count, 1), len(items) - 1)
    held_out = {item.name for item in sorted(items, key=lambda item: item.digest)[:count]}
    return {
        "train": [item for item in items if item.name not in held_out],
        "validation": [item for item in items if item.name in held_out],
    }


def media_item(name: str, path: pathlib.Path | None, labels: str) -> MediaItem:
    """Returns one input; a folder is a video, whose frames are the pictures in it."""
    located = pathlib.PurePosixPath(name) if path is None else path.absolute()
    return MediaItem(
        name=name,
        kind="video" if path is None else _kind(path) or "video",
        label=located.parent.name if labels == "folder" or path is None else None,
        path=path,
        size=_size(path),
    )


def pictures_in(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns the visible pictures that lie in a folder itself, in no order."""
    return [
        entry
        for entry in folder.iterdir()
        if _kind(entry) == "image" and not entry.name.startswith(".") and entry.is_file()
    ]


def _size(path: pathlib.Path | None) -> int:
    if path is None or not path.exists():
        return 0
    return sum(one.stat().st_size for one in (pictures_in(path) if path.is_dir() else [path]))


def _kind(path: pathlib.Path) -> str | None:
    extension = path.suffix.lower().removeprefix(".")
    return next((kind for kind, extensions in _KINDS.items() if extension in extensions), None)


def _walk(root: pathlib.Path) -> list[pathlib.Path]:
    """Returns all visible files under a folder. Links are followed, each real folder once, so loops end."""
    files, seen, waiting = [], set(), [root]
    while waiting:
        folder = waiting.pop()
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            raise DataError(f"The folder {folder} can't be listed: {error.strerror}") from error
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                waiting.append(folder / entry.name)
            elif entry.is_file() or not os.path.exists(
                entry
            ):  # a broken link is listed, to be rejected by name
                files.append(folder / entry.name)
    return files


def _read_list(path: pathlib.Path) -> dict[str, pathlib.Path]:
    """Returns {line: path} of a text file of paths."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError:
        raise DataError(
            f"{path} is neither a folder, a list (a text file with one path a line), nor a file with an "
            f"extension of videos ({_VIDEOS}) or images ({_IMAGES})"
        ) from None
    named = {pathlib.PurePath(line).as_posix(): path.parent / line for line in lines if line}
    if not named:
        raise DataError(
            f"The list {path} has no lines; it should have one path of a video or an image a line"
        )
    return named


def _nothing_in(root: pathlib.Path, found: list[pathlib.Path]) -> str:
    extensions = collections.Counter(path.suffix.lower() or "no extension" for path in found)
    there = ", ".join(f"{count} of {extension}" for extension, count in extensions.most_common(5))
    return (
        f"{root} has no videos ({_VIDEOS}) or images ({_IMAGES}) at any depth; it has {len(found)} files"
        + (f" ({there})" if there else "")
    )
