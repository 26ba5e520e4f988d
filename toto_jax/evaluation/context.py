"""What evaluators are given to work with, made by the assembler."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jax.sharding import Mesh

from toto_jax.data.manifest import ClipRecord, Manifest, clip_index, read_manifest
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
        return read_manifest(self.folder)

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

    def batch(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """Returns these records as the task takes them (`video.to_batch`), with what is paired to them."""
        rows = to_batch(self._reader.read(numbers), self._reader.starts(numbers))
        return rows if self.paired is None else {**self.codes.batch(numbers), **rows}


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
