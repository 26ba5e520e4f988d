"""Media -> token shards, as a job that can be killed at any moment and started again.

A unit of work is `files_per_shard` inputs of one kind in one split, and makes one shard. What is in it
depends on its own inputs, the settings and the seed alone, so a job that was interrupted ends with the same
bytes as one that was not.
"""

import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from toto_jax.data.clip_cutting import Clip, cut_clips
from toto_jax.data.clips import ClipsConfig
from toto_jax.data.config import DataConfig
from toto_jax.data.encoding import decode_ahead, encode_clips, rows_of_images
from toto_jax.data.manifest import MANIFEST, Manifest
from toto_jax.data.media import MediaItem, in_class_order, split
from toto_jax.data.progress import Progress
from toto_jax.data.shard_writer import ShardWriter, Unit, read_unit, write_text
from toto_jax.data.sources.registry import list_media
from toto_jax.data.work_plan import SETTINGS, UnitPlan, check_settings, plan_units, split_settings
from toto_jax.errors import ConfigError, DataError, StorageError
from toto_jax.tokenizers.base import Tokenizer, TokenizerSpec
from toto_jax.tokenizers.pixels import PixelsTokenizer

LEDGER = "rejected.jsonl"
_MOST_THREADS = 32


def pretokenize(
    data: DataConfig, clips: ClipsConfig, tokenizer: Tokenizer | None, out: pathlib.Path, seed: int
) -> dict[str, Manifest]:
    """Cuts, encodes and writes the clips of all media.

    Args:
      data: `config.data`: where the media are and how they lie.
      clips: how clips are cut and shards are filled.
      tokenizer: encodes `clips.encode_batch` clips at a time; None writes raw frames.
      out: gets a folder for each split.
      seed: of the random starts, crops and orders.

    Returns:
      The manifests of "train" and "validation".

    Raises:
      ConfigError: if a frame isn't a whole number of codes, codes don't fit a record, or the seed is below 0.
      DataError: if there are no media, more than half are unusable, or `out` holds shards made otherwise.
      StorageError: if the disk fills up; what is complete stays.
    """
    if seed < 0:
        raise ConfigError(f"config.seed must be 0 or more, not {seed}")
    tokenizer = tokenizer or PixelsTokenizer()
    record_format(tokenizer.spec, clips)  # stops here, before any work, if it can't be
    splits = split(list_media(data, clips.synthetic_clips), clips.validation_percent)
    class_names = in_class_order(item.label for items in splits.values() for item in items)
    settings, plans = {}, {}
    for name, items in splits.items():
        settings[name] = split_settings(items, data.labels, class_names, clips, tokenizer.spec, seed)
        check_settings(out / name, settings[name])
        plans[name] = plan_units(out / name, items, settings[name], clips.files_per_shard)
    class_numbers = {name: number for number, name in enumerate(class_names)}
    job = _Job(list(itertools.chain(*plans.values())), tokenizer, clips, class_numbers, seed)
    try:
        for name in splits:
            (out / name).mkdir(parents=True, exist_ok=True)
            write_text(out / name / SETTINGS, json.dumps(settings[name], indent=2, sort_keys=True) + "\n")
        job.run()
        manifests = {}
        for name, plan in plans.items():
            units = [job.complete[unit] for unit in plan]
            manifests[name] = _manifest(units, tokenizer.spec, clips, class_names, settings[name])
            write_text(out / name / LEDGER, _ledger(units))
            write_text(out / name / MANIFEST, manifests[name].to_json())
    except (OSError, StorageError) as error:
        raise StorageError(
            f"{error}. {len(job.complete)} of {len(job.plans)} shards are complete and kept: once there is "
            "room to write, the same command goes on from there"
        ) from error
    return manifests


def record_format(spec: TokenizerSpec, clips: ClipsConfig) -> tuple[tuple[int, ...], str]:
    """Returns the shape and dtype of a record.

    Raises:
      ConfigError: if a frame is not a whole number of codes, or a code doesn't fit 16 bits.
    """
    rows, columns = spec.grid(clips.size, clips.size)
    if spec.kind == "pixels":
        return (clips.frames, rows, columns, 3), "uint8"
    if spec.codebook_size > 2**16:
        raise ConfigError(f"Shards hold 16-bit codes: a codebook of {spec.codebook_size:,} is over 65,536")
    return (clips.frames, rows, columns), "uint16"


@dataclasses.dataclass
class _Job:
    """Plans, what makes them come true, and those that did."""

    plans: Sequence[UnitPlan]
    tokenizer: Tokenizer
    clips: ClipsConfig
    class_numbers: Mapping[str, int]
    seed: int
    complete: dict[UnitPlan, Unit] = dataclasses.field(default_factory=dict)

    def run(self) -> None:
        """Completes all plans; those that an earlier run completed are kept.

        Raises:
          DataError: once more than half of all inputs are known to be unusable.
          StorageError: when a unit can't be written.
        """
        for plan in self.plans:
            if (unit := read_unit(plan.folder, plan.stem, plan.digest)) is not None:
                self.complete[plan] = unit
        self._check_rejections()
        pending = [plan for plan in self.plans if plan not in self.complete]
        progress = Progress("pretokenize", self._clips_expected(), self._clips_done(), "clips")
        threads = min(os.cpu_count() or 1, _MOST_THREADS)
        inputs = itertools.chain.from_iterable(plan.items for plan in pending)
        with (
            contextlib.closing(progress),
            contextlib.closing(decode_ahead(self._cut, inputs, threads)) as decoded,
        ):
            for plan in pending:
                self.complete[plan] = self._write(plan, itertools.islice(decoded, len(plan.items)), progress)
                progress.correct_total(self._clips_expected())
                self._check_rejections()

    def _cut(self, item: MediaItem) -> list[Clip]:
        label = None if item.label is None else self.class_numbers[item.label]
        return cut_clips(item, label, self.clips, self.seed)

    def _write(self, plan: UnitPlan, decoded: Iterator[list[Clip] | DataError], progress: Progress) -> Unit:
        """Encodes and writes one unit from its inputs' clips."""

        def accepted() -> Iterator[Clip]:
            for item, result in zip(plan.items, decoded, strict=True):
                if isinstance(result, DataError):
                    writer.reject(item.name, str(result))
                else:
                    yield from result

        clips = rows_of_images(accepted(), self.clips.frames) if plan.kind == "image" else accepted()
        shape, dtype = record_format(self.tokenizer.spec, self.clips)
        with contextlib.closing(ShardWriter(plan.folder, plan.stem, plan.kind)) as writer:
            for codes, record in encode_clips(clips, self.tokenizer, self.clips.encode_batch, shape, dtype):
                writer.add(codes, record)
                progress.advance(1)
            return writer.commit(plan.digest)

    def _clips_done(self) -> int:
        return sum(unit.shard.records for unit in self.complete.values())

    def _clips_expected(self) -> int:
        pending = (plan for plan in self.plans if plan not in self.complete)
        return self._clips_done() + sum(plan.expected_clips(self.clips) for plan in pending)

    def _check_rejections(self) -> None:
        """Stops, with the ledgers written, if too many inputs are known to be unusable."""
        rejected = [one for unit in self.complete.values() for one in unit.rejected]
        inputs = sum(len(plan.items) for plan in self.plans)
        if 2 * len(rejected) <= inputs:
            return
        ledgers = []
        for folder, plans in itertools.groupby(self.plans, key=lambda plan: plan.folder):
            ledgers.append(folder / LEDGER)
            write_text(ledgers[-1], _ledger([self.complete[plan] for plan in plans if plan in self.complete]))
        reasons = "".join(f"\n  {reason}" for _, reason in rejected[:3])
        raise DataError(
            f"{len(rejected)} of {inputs} inputs, more than half, can't be used: are these the right media, "
            f"and do config.clips.frames={self.clips.frames} and max_pixels={self.clips.max_pixels:,} fit "
            f"them?{reasons}\nAll are listed in {' and '.join(map(str, ledgers))}"
        )


def _manifest(
    units: Sequence[Unit],
    spec: TokenizerSpec,
    clips: ClipsConfig,
    class_names: Sequence[str],
    settings: dict[str, Any],
) -> Manifest:
    shape, dtype = record_format(spec, clips)
    rates = [unit.frames_per_second for unit in units if unit.frames_per_second is not None]
    return Manifest(
        tokenizer=spec,
        shape=shape,
        dtype=dtype,
        frames_per_second=statistics.median(rates) if rates else None,
        shards=tuple(unit.shard for unit in units if unit.shard.records),
        class_names=tuple(class_names),
        rejected=sum(len(unit.rejected) for unit in units),
        settings=settings,
    )


def _ledger(units: Sequence[Unit]) -> str:
    rejected = (one for unit in units for one in unit.rejected)
    return "".join(json.dumps({"source": source, "reason": reason}) + "\n" for source, reason in rejected)
