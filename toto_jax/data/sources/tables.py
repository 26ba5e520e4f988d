"""Tables of ids, CSV or JSON, with files named after the ids anywhere below a folder: Kinetics, Ego4D, HowTo100M.

What is relied on, of the official releases:

* Kinetics (cvdfoundation/kinetics-dataset): `label,youtube_id,time_start,time_end,split` in train.csv and val.csv (of
  Kinetics-600, train.txt and val.txt are the complete ones, in the same form); archives hold
  `<youtube_id>_<time_start>_<time_end>.mp4` with six digits a time, and are unpacked flat or into class folders. Videos
  below `replacement` take the place of damaged ones (400) and may be named by the id alone.
* Ego4D (facebookresearch/Ego4d, its command line): `manifest.csv` beside the videos, and `ego4d.json` with a list
  `videos`, both with `video_uid`; files are `<video_uid>.mp4`. Its splits belong to benchmarks, so none is official.
* HowTo100M (HowTo100M_v1.csv): `video_id`, `category_1`, ..., or `video_path` in the list of its training code
  (antoine77340/MIL-NCE_HowTo100M); files are `<video_id>` with whatever extension YouTube gave.
"""

import csv
import dataclasses
import io
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from toto_jax.data.media import MediaItem, extensions, file_item, kind_of, official_split, walk
from toto_jax.data.sources.annotations import annotation_files, media_folder, read_text
from toto_jax.errors import DataError


@dataclasses.dataclass(frozen=True)
class Table:
    """How a data set's tables name its videos.

    Attributes:
      wanted: what the tables are, for errors.
      ids: columns of the id; the first that a table has counts. Extensions are dropped.
      label: column of the class, or None.
      timed: whether an id's name is followed by the columns `time_start` and `time_end`, in seconds.
    """

    wanted: str
    ids: tuple[str, ...]
    label: str | None
    timed: bool

    def list_items(self, media: str, annotations: tuple[str, ...], labelled: bool) -> Iterator[MediaItem]:
        """Yields a row's video for each row, named by its id; one that isn't there is rejected when it is read.

        The folder is listed once, whatever the number of rows. Of several files with one name, the first by path
        counts. A row's split is that of its column `split`, else that of its table's file name, if they tell.

        Args:
          media: the folder of videos, at any depth.
          annotations: the tables.
          labelled: whether classes are wanted.

        Raises:
          ConfigError: if no table is named.
          DataError: if a table is missing or has other columns, or none of its videos is there.
        """
        root = media_folder(media)
        tables = annotation_files(root, annotations, self.wanted)
        videos = _by_stem(root)
        rows, example, found = 0, "", False
        for table in tables:
            by_file = official_split(table.stem)
            for row in self._rows(table):
                names = self._names(row, table)
                path = next((videos[name] for name in names if name in videos), None)
                rows, example, found = rows + 1, names[0], found or path is not None
                yield file_item(
                    names[0],
                    os.path.join(root, path or f"{names[0]}.mp4"),
                    (row.get(self.label) or None) if labelled and self.label else None,
                    official_split(row.get("split") or "") or by_file,
                )
        shown = " and ".join(map(str, tables))
        if not rows:
            raise DataError(f"{shown} has no rows; it should be {self.wanted}")
        if not found:
            raise DataError(
                f"None of the {rows} videos that {shown} names lies at any depth below {root}: looked for files "
                f"like {example}.mp4, found {extensions(walk(root))}"
            )

    def _rows(self, path: pathlib.Path) -> Iterator[dict[str, Any]]:
        """Yields a table's rows, with the id's column checked."""
        text = read_text(path)
        if path.suffix.lower() == ".json":
            try:
                content = json.loads(text)
            except ValueError as error:
                raise DataError(f"{path} is not JSON: {error}") from None
            rows = content.get("videos", []) if isinstance(content, dict) else content
            columns = list(rows[0]) if rows else []
        else:
            rows = csv.DictReader(io.StringIO(text), skipinitialspace=True)
            columns = list(rows.fieldnames or [])
        needed = {"time_start", "time_end"} if self.timed else set()
        if columns and (not set(columns) & set(self.ids) or needed - set(columns)):
            raise DataError(
                f"{path} has the columns {', '.join(columns[:8])}; wanted: {' or '.join(self.ids)}"
                + (", time_start and time_end" if self.timed else "")
            )
        yield from (row for row in rows if any(row.get(column) for column in self.ids))

    def _names(self, row: dict[str, Any], table: pathlib.Path) -> list[str]:
        """Returns what a row's file may be called, without extension; the first is the row's own name."""
        given = next(row[column] for column in self.ids if row.get(column))
        key = os.path.splitext(os.path.basename(given.strip()))[0] if kind_of(given) else given.strip()
        if not self.timed:
            return [key]
        try:
            start, end = (int(float(row[column])) for column in ("time_start", "time_end"))
        except (TypeError, ValueError):
            raise DataError(f"{table} has a row of {key} without whole seconds: {dict(row)}") from None
        return [f"{key}_{start:06d}_{end:06d}", f"{key}_{start}_{end}", key]


def _by_stem(root: pathlib.Path) -> dict[str, str]:
    """Returns file name without extension -> path below `root`, of all videos."""
    found: dict[str, str] = {}
    for path in sorted(walk(root), key=_replacements_first):
        if kind_of(path) == "video":
            found.setdefault(os.path.splitext(os.path.basename(path))[0], path)
    return found


def _replacements_first(path: str) -> tuple[bool, str]:
    return not path.startswith("replacement"), path


KINETICS = Table(
    "the official lists with label,youtube_id,time_start,time_end,split, like train.csv and val.csv",
    ids=("youtube_id",),
    label="label",
    timed=True,
)
EGO4D = Table("manifest.csv or ego4d.json, with video_uid", ids=("video_uid",), label=None, timed=False)
HOWTO100M = Table(
    "HowTo100M_v1.csv with video_id, or a list with video_path",
    ids=("video_id", "video_path"),
    label="category_1",
    timed=False,
)
