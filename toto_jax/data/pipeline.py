"""Token shards -> batches. `batch_at(step)` is a pure function of (manifests, mixture, seed, step).

The stream of rows is mixed, shuffled and repeated by index arithmetic (mixture.py, order.py); step s takes rows
[s*B, (s+1)*B), and process p of P the contiguous slice p of them. Neither processes, workers nor threads change what
a batch holds, so the state of the data in a checkpoint is the step.
"""

import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import grain
import jax
import numpy as np

from toto_jax.data.manifest import Manifest, read_manifest
from toto_jax.data.mixture import Mixture, Weight
from toto_jax.data.order import Order, source_order
from toto_jax.data.pairing import check_paired
from toto_jax.data.shard_reader import ShardReader
from toto_jax.data.staged import read_staged
from toto_jax.errors import ConfigError, DataError
from toto_jax.video import ClipGeometry, to_batch

# Batches of the endless stream: more than any run reads, few enough for index arithmetic in 64 bits.
_ENDLESS = 2**48
# Batches that are being read ahead of the one that is asked for.
READ_AHEAD = 16


class _ReadRows:
    """Number of a batch, counted through steps and processes, to what it holds.

    A whole batch at a time: what Python does for each record would cost more than reading it.
    """

    def __init__(
        self, mixture: Mixture, orders: Sequence[Order], readers: Sequence[ShardReader], batch_size: int
    ):
        self._mixture, self._orders, self._readers = mixture, list(orders), list(readers)
        self._batch_size = batch_size

    def __call__(self, batch: int) -> dict[str, np.ndarray]:
        size = self._batch_size
        sources_B, places_B = self._mixture.locate(batch * size + np.arange(size, dtype=np.int64))
        clips_B, starts_B = None, np.empty(size, np.int32)
        for source in np.unique(sources_B):
            reader, rows = self._readers[source], sources_B == source
            numbers = self._orders[source].numbers(places_B[rows])
            clips = reader.read(numbers)
            if clips.dtype != np.uint8:
                clips = clips.reshape(len(clips), -1)  # sources may differ in frames and grid, not in codes
            clips_B = np.empty((size, *clips.shape[1:]), clips.dtype) if clips_B is None else clips_B
            clips_B[rows], starts_B[rows] = clips, reader.starts(numbers)
        return to_batch(clips_B, starts_B)


class _ReadPairs:
    """The same batch of what two folders hold of the same clips."""

    def __init__(self, *read: _ReadRows):
        self._read = read

    def __call__(self, batch: int) -> dict[str, np.ndarray]:
        return {name: rows for read in self._read for name, rows in read(batch).items()}


class Pipeline:
    """The training data of one process.

    Args:
      shards: folder of `<source>/<split>`.
      mixture: source -> whole-number weight, or its changes over steps.
      batch_size: rows of a global batch.
      seed: of the shuffle.
      process_index, process_count: which slice of each batch this process reads.
      workers: processes that read; 0 reads in threads.
      window: shards of a source among which clips are shuffled; 0 for all.
      wait_seconds: how long to wait for a shard that is being staged.
      other_shapes: sources of codes whose clips may have another shape than the others', with as many codes.
      paired: a second folder of the same clips, whose rows come along; None for none.

    Raises:
      DataError: on missing shards, shards of another tokenizer or shape than the others, or pairs that aren't.
      ConfigError: if the batch doesn't divide by the processes, or staged shards are read without a window.
    """

    def __init__(
        self,
        shards: pathlib.Path,
        mixture: Mapping[str, Weight],
        batch_size: int,
        seed: int,
        process_index: int = 0,
        process_count: int = 1,
        workers: int = 0,
        window: int = 0,
        wait_seconds: float = 0.0,
        other_shapes: Sequence[str] = (),
        paired: pathlib.Path | None = None,
    ):
        if batch_size % process_count:
            below = batch_size - batch_size % process_count
            raise ConfigError(
                f"config.train.batch_size={batch_size} doesn't divide by {process_count} processes; "
                f"{below or process_count} or {below + process_count} would"
            )
        self._mixture = Mixture(mixture, batch_size)
        self.manifests, self.paired = (
            {name: read_manifest(root / name / "train") for name in self._mixture.names} if root else {}
            for root in (shards, paired)
        )
        check_compatible(self.manifests, other_shapes)
        self._process = (process_index, process_count)
        self._workers = workers
        orders, readers = [], []
        for name, manifest in self.manifests.items():
            readers.append(_reader(shards / name / "train", manifest, window, wait_seconds))
            orders.append(source_order(manifest, window, seed, name))
        read = _ReadRows(self._mixture, orders, readers, batch_size // process_count)
        if paired:
            check_compatible(self.paired)
            for name, manifest in self.manifests.items():
                _refuse_staged(shards / name / "train", paired / name / "train")
                check_paired(shards / name / "train", manifest, paired / name / "train", self.paired[name])
            others = [
                _reader(paired / name / "train", manifest, window, wait_seconds)
                for name, manifest in self.paired.items()
            ]
            # The order is that of the first folder's shards, which the second one has too.
            read = _ReadPairs(read, _ReadRows(self._mixture, orders, others, batch_size // process_count))
        self._batches = grain.MapDataset.range(_ENDLESS).map(read)

    def batch_at(self, step: int) -> dict[str, np.ndarray]:
        """Returns this process's rows of the batch of step `step` (0 is the first)."""
        index, count = self._process
        return self._batches[step * count + index]

    def batches_from(self, step: int, end: int | None = None) -> Iterator[dict[str, np.ndarray]]:
        """Returns an iterator of this process's rows from step `step` on.

        Args:
          step: the first one.
          end: the step before which it ends; nothing beyond is read ahead. None for never.
        """
        index, count = self._process
        stop = _ENDLESS if end is None else end * count
        batches = self._batches[slice(step * count + index, stop, count)]
        options = grain.ReadOptions(num_threads=READ_AHEAD, prefetch_buffer_size=READ_AHEAD)
        dataset = batches.to_iter_dataset(options)
        if self._workers:
            dataset = dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=self._workers))
        return iter(dataset)

    def epochs(self, step: int) -> dict[str, float]:
        """Returns how often the steps before `step` have gone through each source."""
        taken_S = self._mixture.taken(step).tolist()
        named = zip(taken_S, self.manifests.items(), strict=True)
        return {name: taken / manifest.records for taken, (name, manifest) in named}

    def summary(self, steps: int) -> list[str]:
        """Returns a line for each source about a run of so many steps: its share, its clips, and passes over them."""
        taken_S = self._mixture.taken(steps)
        share_S, width = taken_S / taken_S.sum(), max(map(len, self.manifests))
        return [
            f"{name:<{width}}  {100 * share:.3g}%  {self.manifests[name].records:,} clips  {epochs:.3g} passes"
            for share, (name, epochs) in zip(share_S, self.epochs(steps).items(), strict=True)
        ]


def _refuse_staged(*folders: pathlib.Path) -> None:
    for folder in folders:
        if read_staged(folder) is not None:
            raise ConfigError(
                f"{folder} is staged; pairs of pixels and codes have to lie on the disk as a whole"
            )


def _reader(folder: pathlib.Path, manifest: Manifest, window: int, wait_seconds: float) -> ShardReader:
    if not manifest.records:
        raise DataError(
            f"{folder} holds no clips: all of its inputs were rejected, or went to the other split. rejected.jsonl "
            "beside it lists the rejected ones; otherwise change config.clips.validation_percent"
        )
    staged = read_staged(folder)
    if staged is not None and staged.window != window:
        raise ConfigError(
            f"The shards in {folder} are staged for config.data.window={staged.window}, not {window}: run "
            "toto_jax.data.stage and the training with the same config"
        )
    return ShardReader(folder, manifest, wait_seconds if staged else 0.0)


def check_compatible(manifests: Mapping[str, Manifest], other_shapes: Sequence[str] = ()) -> None:
    """Checks that all sources were written by one tokenizer, in one shape but for those that may have others.

    Raises:
      ConfigError: if no source has the shape that the others are compared with, or one that may differ doesn't.
      DataError: naming the two that differ.
    """
    ordinary = [name for name in manifests if name not in other_shapes]
    if not ordinary:
        raise ConfigError(
            f"config.data.other_shapes names all sources of positive weight ({', '.join(manifests)}); "
            "at least one has to have the shape of config.clips, which evaluations look at"
        )
    first_name, first = ordinary[0], manifests[ordinary[0]]
    for name, manifest in manifests.items():
        mine, theirs = manifest.tokenizer, first.tokenizer
        if mine.content_hash != theirs.content_hash:
            raise DataError(
                f"Shards of {name!r} were written by the tokenizer {mine.kind} {mine.content_hash[:12]}, those of "
                f"{first_name!r} by {theirs.kind} {theirs.content_hash[:12]}: their codes mean different things. "
                "Run pretokenize on both with the same tokenizer"
            )
        same = tuple(manifest.shape) == tuple(first.shape)
        if same and name in other_shapes:
            raise ConfigError(
                f"config.data.other_shapes names {name!r}, whose clips have the shape of those of {first_name!r}, "
                f"{tuple(first.shape)}: take it out, so that evaluations see it"
            )
        as_many = manifest.dtype != "uint8" and math.prod(manifest.shape) == math.prod(first.shape)
        if not same and not (as_many and name in other_shapes):
            advice = (
                f", or name {name!r} in config.data.other_shapes: both have as many codes" if as_many else ""
            )
            raise DataError(
                f"Clips of {name!r} have the shape {tuple(manifest.shape)}, those of {first_name!r} "
                f"{tuple(first.shape)}; run pretokenize on both with the same config.clips{advice}"
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
