"""Token shards -> batches. `batch_at(step)` is a pure function of (manifests, mixture, seed, step).

The stream of rows is mixed, shuffled and repeated by index arithmetic; step s takes rows [s*B, (s+1)*B), and
process p of P the contiguous slice p of them. Neither processes, workers nor threads change what a batch
holds, so the state of the data in a checkpoint is the step.
"""

import hashlib
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, SupportsIndex

import grain
import jax
import numpy as np
from array_record.python.array_record_data_source import ArrayRecordDataSource

from toto_jax.data.manifest import Manifest, read_manifest
from toto_jax.data.mixture import mix, whole_weights
from toto_jax.errors import ConfigError, DataError
from toto_jax.video import START_TOKENS, ClipGeometry, to_sequences

# Rows of the endless stream: more than any run reads, few enough for index arithmetic in 64 bits.
_ENDLESS = 2**62


class ShardSource:
    """One source's clips by number: `{"ids": int32 (T,)}` for codes, `{"pixels": uint8 (F, H, W, 3)}` for raw
    frames."""

    def __init__(self, folder: pathlib.Path, manifest: Manifest):
        if not manifest.records:
            raise DataError(
                f"{folder} holds no clips: all of its inputs were rejected, or went to the other split. rejected.jsonl "
                "beside it lists the rejected ones; otherwise change config.clips.validation_percent"
            )
        self._reader = ArrayRecordDataSource([str(folder / shard.file) for shard in manifest.shards])
        self._shape = tuple(manifest.shape)
        self._dtype = np.dtype(manifest.dtype).newbyteorder("<")
        self._ends = np.cumsum([shard.records for shard in manifest.shards])
        self._starts = np.array([START_TOKENS[shard.kind] for shard in manifest.shards], np.int32)
        if len(self._reader) != self._ends[-1]:
            raise DataError(
                f"{folder} has {len(self._reader)} records where its manifest counts {self._ends[-1]}: "
                "a shard was replaced. Run pretokenize again into an empty folder"
            )

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, number: SupportsIndex) -> dict[str, np.ndarray]:
        return self.__getitems__([int(number)])[0]

    def __getitems__(self, numbers: Sequence[int]) -> list[dict[str, np.ndarray]]:
        """Reads several at once, which ArrayRecord does in parallel."""
        records = self._reader.__getitems__(list(numbers))
        return [self._decode(number, record) for number, record in zip(numbers, records, strict=True)]

    def _decode(self, number: int, record: bytes) -> dict[str, np.ndarray]:
        clip = np.frombuffer(record, self._dtype)
        if len(self._shape) == 4:
            return {"pixels": clip.reshape(self._shape)}
        start = self._starts[np.searchsorted(self._ends, number, side="right")]
        return {"ids": to_sequences(clip[None], start[None])[0]}


class Pipeline:
    """The training data of one process.

    Args:
      shards: folder of `<source>/<split>`.
      mixture: source -> whole-number weight.
      batch_size: rows of a global batch.
      seed: of the shuffle.
      process_index, process_count: which slice of each batch this process reads.
      workers: processes that read; 0 reads in threads.

    Raises:
      DataError: on missing shards, or shards of another tokenizer or shape than the others.
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
    ):
        if batch_size % process_count:
            below = batch_size - batch_size % process_count
            raise ConfigError(
                f"config.train.batch_size={batch_size} doesn't divide by {process_count} processes; "
                f"{below or process_count} or {below + process_count} would"
            )
        weights = whole_weights(mixture)
        self.manifests = {name: read_manifest(shards / name / "train") for name in weights}
        check_compatible(self.manifests)
        self._process = (process_index, process_count)
        self._workers = workers
        streams = []
        for name, manifest in self.manifests.items():
            # A source's order depends on its name and on nothing that a neighbour does.
            own = int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:4], "little")
            source = ShardSource(shards / name / "train", manifest)
            streams.append(grain.MapDataset.source(source).seed(own).shuffle().repeat())
        rows = mix(streams, list(weights.values()), _ENDLESS)
        self._batches = rows.batch(batch_size // process_count, drop_remainder=True)

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


def to_devices(
    batches: Iterator[dict[str, np.ndarray]], shardings: Mapping[str, Any], ahead: int
) -> Iterator[dict[str, jax.Array]]:
    """Lays each process's rows out as global arrays, keeping `ahead` batches ready.

    Transfers are asynchronous: the next batch travels while the devices work on this one.
    """
    ready: list[dict[str, jax.Array]] = []
    for batch in batches:
        ready.append(
            {
                name: jax.make_array_from_process_local_data(shardings[name], rows)
                for name, rows in batch.items()
            }
        )
        if len(ready) > ahead:
            yield ready.pop(0)
    yield from ready
