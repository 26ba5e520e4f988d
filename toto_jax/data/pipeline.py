"""Token shards -> batches. `batch_at(step)` is a pure function of (manifests, mixture, seed, step).

The stream of rows is mixed, shuffled and repeated by index arithmetic; step s takes rows [s*B, (s+1)*B), and
process p of P the contiguous slice p of them. Neither processes, workers nor threads change what a batch
holds, so the state of the data in a checkpoint is the step.
"""

import hashlib
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import grain
import jax
import numpy as np

from toto_jax.data.manifest import Manifest, read_manifest
from toto_jax.data.mixture import mix, whole_weights
from toto_jax.data.pairing import check_paired
from toto_jax.data.shard_reader import ShardReader
from toto_jax.errors import ConfigError, DataError
from toto_jax.video import ClipGeometry, to_batch

# Rows of the endless stream: more than any run reads, few enough for index arithmetic in 64 bits.
_ENDLESS = 2**62


class _ReadRows:
    """Numbers of clips, counted through all sources, to what a batch holds.

    A whole batch at a time: what Python does for each record would cost more than reading it.
    """

    def __init__(self, readers: Sequence[ShardReader]):
        self._readers = list(readers)
        self._ends = np.cumsum([len(reader) for reader in readers])

    def __call__(self, numbers_B: np.ndarray) -> dict[str, np.ndarray]:
        sources_B = np.searchsorted(self._ends, numbers_B, side="right")
        clips_B, starts_B = None, np.empty(len(numbers_B), np.int32)
        for source in np.unique(sources_B):
            reader, rows = self._readers[source], sources_B == source
            within = numbers_B[rows] - (self._ends[source] - len(reader))
            clips = reader.read(within)
            clips_B = (
                np.empty((len(numbers_B), *clips.shape[1:]), clips.dtype) if clips_B is None else clips_B
            )
            clips_B[rows], starts_B[rows] = clips, reader.starts(within)
        return to_batch(clips_B, starts_B)


class _ReadPairs:
    """The same numbers of clips to what two folders hold of them."""

    def __init__(self, *read: _ReadRows):
        self._read = read

    def __call__(self, numbers_B: np.ndarray) -> dict[str, np.ndarray]:
        return {name: rows for read in self._read for name, rows in read(numbers_B).items()}


class Pipeline:
    """The training data of one process.

    Args:
      shards: folder of `<source>/<split>`.
      mixture: source -> whole-number weight.
      batch_size: rows of a global batch.
      seed: of the shuffle.
      process_index, process_count: which slice of each batch this process reads.
      workers: processes that read; 0 reads in threads.
      paired: a second folder of the same clips, whose rows come along; None for none.

    Raises:
      DataError: on missing shards, shards of another tokenizer or shape than the others, or pairs that aren't.
      ConfigError: if the batch doesn't divide by the processes.
    """

    def __init__(
        self,
        shards: pathlib.Path,
        mixture: Mapping[str, int],
        batch_size: int,
        seed: int,
        process_index: int = 0,
        process_count: int = 1,
        workers: int = 0,
        paired: pathlib.Path | None = None,
    ):
        if batch_size % process_count:
            below = batch_size - batch_size % process_count
            raise ConfigError(
                f"config.train.batch_size={batch_size} doesn't divide by {process_count} processes; "
                f"{below or process_count} or {below + process_count} would"
            )
        weights = whole_weights(mixture)
        self.manifests, self.paired = (
            {name: read_manifest(root / name / "train") for name in weights} if root else {}
            for root in (shards, paired)
        )
        check_compatible(self.manifests)
        self._process = (process_index, process_count)
        self._workers = workers
        streams, readers, first = [], [], 0
        for name, manifest in self.manifests.items():
            reader = _reader(shards / name / "train", manifest)
            # A source's order depends on its name and on nothing that a neighbour does.
            own = int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:4], "little")
            numbers = grain.MapDataset.range(first, first + len(reader))
            streams.append(numbers.seed(own).shuffle().repeat())
            readers.append(reader)
            first += len(reader)
        read = _ReadRows(readers)
        if paired:
            check_compatible(self.paired)
            for name, manifest in self.manifests.items():
                check_paired(shards / name / "train", manifest, paired / name / "train", self.paired[name])
            others = [_reader(paired / name / "train", manifest) for name, manifest in self.paired.items()]
            read = _ReadPairs(read, _ReadRows(others))
        rows = mix(streams, list(weights.values()), _ENDLESS)
        numbers = rows.batch(batch_size // process_count, drop_remainder=True)
        self._batches = numbers.map(read)

    def batch_at(self, step: int) -> dict[str, np.ndarray]:
        """Returns this process's rows of the batch of step `step` (0 is the first)."""
        index, count = self._process
        return self._batches[step * count + index]

    def batches_from(self, step: int) -> Iterator[dict[str, np.ndarray]]:
        """Returns an endless iterator of this process's rows from step `step` on."""
        index, count = self._process
        batches = self._batches[slice(step * count + index, _ENDLESS // 2, count)]
        dataset = batches.to_iter_dataset(grain.ReadOptions(num_threads=16, prefetch_buffer_size=16))
        if self._workers:
            dataset = dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=self._workers))
        return iter(dataset)


def _reader(folder: pathlib.Path, manifest: Manifest) -> ShardReader:
    if not manifest.records:
        raise DataError(
            f"{folder} holds no clips: all of its inputs were rejected, or went to the other split. rejected.jsonl "
            "beside it lists the rejected ones; otherwise change config.clips.validation_percent"
        )
    return ShardReader(folder, manifest)


def check_compatible(manifests: Mapping[str, Manifest]) -> None:
    """Checks that all sources were written by one tokenizer in one shape.

    Raises:
      DataError: naming the two that differ.
    """
    first_name, first = next(iter(manifests.items()))
    for name, manifest in manifests.items():
        mine, theirs = manifest.tokenizer, first.tokenizer
        if mine.content_hash != theirs.content_hash:
            raise DataError(
                f"Shards of {name!r} were written by the tokenizer {mine.kind} {mine.content_hash[:12]}, those of "
                f"{first_name!r} by {theirs.kind} {theirs.content_hash[:12]}: their codes mean different things. "
                "Run pretokenize on both with the same tokenizer"
            )
        if tuple(manifest.shape) != tuple(first.shape):
            raise DataError(
                f"Clips of {name!r} have the shape {tuple(manifest.shape)}, "
                f"those of {first_name!r} {tuple(first.shape)}; run pretokenize on both with the same config.clips"
            )


def check_geometry(manifests: Mapping[str, Manifest], geometry: ClipGeometry, codebook_size: int) -> None:
    """Checks that token shards are what the config's model is made for.

    Raises:
      ConfigError: with the settings that would fit the shards.
    """
    wanted = (geometry.frames, geometry.height, geometry.width)
    for name, manifest in manifests.items():
        shape, size = tuple(manifest.shape), manifest.tokenizer.codebook_size
        if shape != wanted or size != codebook_size:
            raise ConfigError(
                f"Shards of {name!r} hold clips of {shape} codes out of {size}, the config is made for {wanted} out of "
                f"{codebook_size}. Set config.clips.frames={shape[0]}, "
                f"config.clips.size={shape[1] * manifest.tokenizer.downsampling} and config.tokenizer to the shards' "
                f"(codebook_size={size}, downsampling {manifest.tokenizer.downsampling})"
            )


def check_pixels(manifests: Mapping[str, Manifest], frames: int, size: int) -> None:
    """Checks that shards hold pixels of clips as the config's task takes them.

    Raises:
      ConfigError: with the settings that would fit the shards, or what would make pixel shards.
    """
    wanted = (frames, size, size, 3)
    for name, manifest in manifests.items():
        shape = tuple(manifest.shape)
        if manifest.dtype != "uint8":
            raise ConfigError(
                f"Shards of {name!r} hold codes of the tokenizer {manifest.tokenizer.kind}, but config.task wants "
                "pixels: write shards with --config.tokenizer.kind=pixels, or point config.data.shards to such"
            )
        if shape != wanted:
            raise ConfigError(
                f"Shards of {name!r} hold clips of {shape}, the config is made for {wanted}. "
                f"Set config.clips.frames={shape[0]} and config.clips.size={shape[1]}"
            )


def to_devices(
    batches: Iterator[dict[str, np.ndarray]], shardings: Mapping[str, Any], ahead: int
) -> Iterator[dict[str, jax.Array]]:
    """Lays each process's rows out as global arrays, keeping `ahead` batches ready; rows without a sharding stay.

    Transfers are asynchronous: the next batch travels while the devices work on this one.
    """
    ready: list[dict[str, jax.Array]] = []
    for batch in batches:
        ready.append(
            {
                name: jax.make_array_from_process_local_data(sharding, batch[name])
                for name, sharding in shardings.items()
            }
        )
        if len(ready) > ahead:
            yield ready.pop(0)
    yield from ready
