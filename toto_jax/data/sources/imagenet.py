"""A tree of train/<class>/ and val/<class>/ folders, as ImageNet's (ILSVRC 2012) is unpacked; videos may lie in it too.

The official validation pictures come in one flat folder, `val/ILSVRC2012_val_00000001.JPEG`, and their classes in a
file of their own. Two such files are read: Kaggle's `LOC_val_solution.csv` (`ImageId,PredictionString`, whose first
word is the class), and `imagenet_2012_validation_synset_labels.txt` (one class a line, in order of the pictures).
The numbers of the development kit are not: their order is not that of the folders' names.
"""

import os
import pathlib
import re
from collections.abc import Iterator

from toto_jax.data.media import MediaItem, extensions, file_item, kind_of, walk, walk_links
from toto_jax.data.sources.annotations import annotation_files, media_folder, read_text
from toto_jax.errors import DataError

_FOLDERS = {"train": "train", "val": "validation", "validation": "validation"}
_WANTED = (
    "LOC_val_solution.csv or imagenet_2012_validation_synset_labels.txt, the classes of a flat val folder"
)


def list_items(media: str, annotations: tuple[str, ...], labelled: bool) -> Iterator[MediaItem]:
    """Yields the inputs of both folders; the class is the folder below `train` or `val`. A `test` folder is left out.

    Args:
      media: the folder in which `train` lies.
      annotations: for a flat `val`: the file with its classes, needed only with classes.
      labelled: whether classes are wanted.

    Raises:
      DataError: if there is no `train`, nothing in it, or the classes of `val` can't be told.
    """
    root = media_folder(media)
    if not (root / "train").is_dir():
        there = ", ".join(sorted(entry.name for entry in root.iterdir())[:5]) or "nothing"
        raise DataError(f"{root} has no folder 'train' of class folders; it has {there}")
    names = {
        folder: {name: there for name, there in walk_links(root / folder) if kind_of(name)}
        for folder in _FOLDERS
        if (root / folder).is_dir()
    }
    if not names["train"]:
        found = extensions(walk(root / "train"))
        raise DataError(f"{root / 'train'} has no pictures or videos in class folders; it has {found}")
    classes = {name.split("/")[0] for name in names["train"] if "/" in name}
    for folder, members in names.items():
        flat = sorted(name for name in members if "/" not in name)
        given = _classes_of_flat(root, folder, flat, annotations, classes) if labelled and flat else {}
        for name, there in members.items():
            label = (name.split("/")[0] if "/" in name else given[name]) if labelled else None
            path = os.path.join(root, folder, name)
            look = kind_of(name) == "video" or not there
            yield file_item(f"{folder}/{name}", path, label, _FOLDERS[folder], look)


def _classes_of_flat(
    root: pathlib.Path, folder: str, names: list[str], annotations: tuple[str, ...], known: set[str]
) -> dict[str, str]:
    """Returns the class of each picture that lies in no class folder."""
    where = f"{root / folder} holds {len(names)} pictures outside class folders"
    if not annotations:
        raise DataError(
            f"{where}, like {names[0]}: name the file of their classes in config.data.annotations ({_WANTED}), or "
            "set config.data.labels to 'none'"
        )
    (path, *_) = annotation_files(root, annotations, _WANTED)
    lines = [line for line in read_text(path).splitlines() if line.strip()]
    rows = [re.split(r"[,\s]+", line.strip()) for line in lines]
    if all(len(row) == 1 for row in rows):
        if len(rows) != len(names):
            raise DataError(f"{where}, but {path} has {len(rows)} lines: it should have one for each")
        given = dict(zip(names, (row[0] for row in rows), strict=True))
    else:
        by_stem = {pathlib.PurePath(row[0]).stem: row[1] for row in rows if len(row) > 1}
        given = {name: by_stem.get(pathlib.PurePath(name).stem) for name in names}
    for name, label in given.items():
        if label not in known:
            raise DataError(
                f"{path} says that {name} is of class {label!r}, which is no folder of {root / 'train'} "
                f"(like {min(known, default='none')}); wanted: {_WANTED}"
            )
    return given
