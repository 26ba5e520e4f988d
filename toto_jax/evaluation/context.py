"""What evaluators are given to work with, made by the assembler."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jax.sharding import Mesh

from toto_jax.data.clip_record import ClipRecord
from toto_jax.data.manifest import Manifest, clip_index, readable_manifest
from toto_jax.data.pairing import check_paired
from toto_jax.data.shard_reader import ShardReader
from toto_jax.errors import DataError
from toto_jax.tokenizers.base import Tokenizer
from toto_jax.training.task import Task
from toto_jax.tree import Params
from toto_jax.video import ClipGeometry, to_batch


@dataclasses.dataclass(frozen=True)
class Split:
    """One source's train or validation clips, read by record number.

    Attributes:
      folder: of their shards.
      paired: the same clips' codes, where the shards hold pixels and the task wants both.
    """

    folder: pathlib.Path
    paired: "Split | None" = None

    @functools.cached_property
    def manifest(self) -> Manifest:
        """Of the shards that can be read at any time."""
        return readable_manifest(self.folder)

    @functools.cached_property
    def index(self) -> list[ClipRecord]:
        return clip_index(self.folder, self.manifest)

    @functools.cached_property
    def codes(self) -> "Split":
        """The split that holds the clips' codes: the paired one, or else this one.

        Raises:
          DataError: if the paired one is of other clips.
        """
        if self.paired is None:
            return self
        check_paired(self.folder, self.manifest, self.paired.folder, self.paired.manifest)
        return self.paired

    @functools.cached_property
    def _reader(self) -> ShardReader:
        return ShardReader(self.folder, self.manifest)

    def numbers(self, limit: int, kind: str | None = None) -> np.ndarray:
        """Returns at most `limit` record numbers, spread evenly over the split.

        Args:
          limit: how many at most.
          kind: only "video" or only "image" records; None takes both.
        """
        numbers = np.array(
            [number for number, record in enumerate(self.index) if kind in (None, record.kind)], np.int64
        )
        if len(numbers) > limit:
            numbers = numbers[np.linspace(0, len(numbers) - 1, limit).astype(np.int64)]
        if not len(numbers):
            raise DataError(f"{self.folder} holds no {kind or ''} clips")
        return numbers

    def read(self, limit: int, kind: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Returns (clips, record numbers) of at most `limit` records; see `numbers`."""
        numbers = self.numbers(limit, kind)
        return self._reader.read(numbers), numbers

    def batch(self, numbers_B: np.ndarray, frames_B: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Returns records as the task takes them (`video.to_batch`), with what is paired to them.

        Args:
          numbers_B: which ones.
          frames_B: the one frame of each that is wanted; None for all.
        """
        clips = self._reader.read(numbers_B)
        if frames_B is not None:
            clips = clips[np.arange(len(clips)), frames_B][:, None]
        rows = to_batch(clips, self._reader.starts(numbers_B))
        return rows if self.paired is None else {**self.codes.batch(numbers_B, frames_B), **rows}

    def labelled(self, limit: int, kind: str) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Returns (numbers_M, frames_M, labels_M) of at most `limit` labelled videos or images, spread evenly.

        A row of images has no class, but each image in it has, and is named by its frame; of videos frames_M is None.
        Images that fill a shard's last row up are there already, and count once.

        Args:
          limit: how many at most.
          kind: "video" or "image".

        Raises:
          DataError: if none has a label.
        """
        places: dict[Any, tuple[int, int, int | None]] = {}
        for number, record in enumerate(self.index):
            if record.kind == kind == "video":
                places[number] = (number, 0, record.label)
            elif record.kind == kind:
                for frame, (source, label) in enumerate(zip(record.sources, record.labels, strict=True)):
                    places.setdefault(source, (number, frame, label))
        found = [place for place in places.values() if place[2] is not None]
        if not found:
            raise DataError(f"{self.folder} holds no {kind} with a label: the classes can't be told apart")
        rows = np.linspace(0, len(found) - 1, min(limit, len(found))).astype(np.int64)
        numbers_M, frames_M, labels_M = np.array(found, np.int64)[rows].T
        return numbers_M, frames_M if kind == "image" else None, labels_M.astype(np.int32)


@dataclasses.dataclass(frozen=True)
class EvaluationContext:
    """Attributes:
    task: what the run learns.
    mesh: where it runs.
    seed: of sampling and of controls with random weights.
    geometry: of a clip.
    codebook_size: codes are 0..codebook_size-1.
    splits: source -> {"train": Split, "validation": Split}.
    load_tokenizer: reads the run's tokenizer from disk.
    tokenizer_of: makes a tokenizer of the run's own parameters, for runs that train one.
    """

    task: Task
    mesh: Mesh
    seed: int
    geometry: ClipGeometry
    codebook_size: int
    splits: Mapping[str, Mapping[str, Split]]
    load_tokenizer: Callable[[], Tokenizer]
    tokenizer_of: Callable[[Params], Tokenizer]

    def only_source(self, name: str = "") -> Mapping[str, Any]:
        """Returns the splits of the source `name`, or of the first one."""
        if name and name not in self.splits:
            raise DataError(f"There is no source {name!r}; known: {', '.join(self.splits)}")
        return self.splits[name or next(iter(self.splits))]
