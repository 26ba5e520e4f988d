"""A pre-tokenisation whose inputs are listed and parted into units: work on it, close it, verify it."""

import contextlib
import dataclasses
import itertools
import json
import pathlib
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from toto_jax.data.clips import ClipsConfig
from toto_jax.data.decoding import DecodingConfig
from toto_jax.data.manifest import MANIFEST, Manifest, check_shard, record_format
from toto_jax.data.shard_writer import Unit, read_unit, remove_remains, write_text
from toto_jax.data.timeline import Timeline
from toto_jax.data.work_plan import UnitPlan, check_settings
from toto_jax.data.worker import Share, Worker
from toto_jax.errors import DataError, StorageError
from toto_jax.tokenizers.base import Tokenizer, TokenizerSpec

LEDGER = "rejected.jsonl"


@dataclasses.dataclass(frozen=True)
class Job:
    """Attributes:
    out: has a folder for each split.
    spec: of the tokenizer.
    clips: how clips are cut and shards are filled.
    seed: of the random starts, crops and orders.
    settings: of each split.
    plans: the units of each split.
    """

    out: pathlib.Path
    spec: TokenizerSpec
    clips: ClipsConfig
    seed: int
    settings: Mapping[str, Mapping[str, Any]]
    plans: Mapping[str, Sequence[UnitPlan]]

    @property
    def class_names(self) -> list[str]:
        """Class number -> name."""
        return next(iter(self.settings.values()))["class_names"]

    @property
    def units(self) -> list[UnitPlan]:
        """Of all splits."""
        return list(itertools.chain(*self.plans.values()))

    def work(
        self,
        tokenizer: Tokenizer,
        decoding: DecodingConfig,
        share: Share,
        timeline: Timeline,
        units: Sequence[UnitPlan] | None = None,
    ) -> Worker:
        """Takes units until all are complete, whoever completed them, and returns what it knows of them.

        Args:
          tokenizer: of this spec.
          decoding: limits of the decoders.
          share: which units to begin with.
          timeline: gets what was done when.
          units: which ones; all by default.

        Raises:
          DataError: once more than half of all inputs are known to be unusable.
          StorageError: if the disk fills up; what is complete stays.
        """
        numbers = {name: number for number, name in enumerate(self.class_names)}
        worker = Worker(
            self.units if units is None else units,
            tokenizer,
            self.clips,
            decoding,
            numbers,
            self.seed,
            share,
            timeline,
        )
        with self._keeping(worker.complete):
            worker.run(self._check_rejections)
        return worker

    def close(self, complete: Mapping[UnitPlan, Unit] | None = None) -> dict[str, Manifest]:
        """Writes each split's manifest and ledger, and returns the manifests.

        Args:
          complete: the units, if they are known; they are read otherwise.

        Raises:
          DataError: if units are missing, with the first one's name, over half of the inputs are unusable, or the
            folder has become another job's.
        """
        for name in self.plans:
            check_settings(self.out / name, dict(self.settings[name]))
        complete = self._read() if complete is None else complete
        missing = [plan for plan in self.units if plan not in complete]
        if missing:
            raise DataError(
                f"{len(missing)} of {len(self.units)} units aren't written yet, the first of them "
                f"{missing[0].folder / missing[0].stem}; pretokenize without --merge writes what is missing"
            )
        self._check_rejections(complete)
        manifests = {}
        with self._keeping(complete):
            for name, plans in self.plans.items():
                units = [complete[plan] for plan in plans]
                manifests[name] = self._manifest(units, name)
                write_text(self.out / name / LEDGER, _ledger(units))
                write_text(self.out / name / MANIFEST, manifests[name].to_json())
                remove_remains(self.out / name)
        return manifests

    def verify(self) -> tuple[int, int]:
        """Reads every byte of what is written, and returns how many units that is, and of how many.

        Raises:
          DataError: naming every shard that isn't what was written.
        """
        complete = self._read()
        damaged = [
            f"{plan.folder / plan.stem} has a sidecar, but its shard is missing, cut off, or of other settings"
            for plan in self.units
            if plan not in complete and (plan.folder / f"{plan.stem}.jsonl").exists()
        ]
        for plan, unit in complete.items():
            try:
                check_shard(plan.folder, unit.shard)
            except (DataError, OSError) as error:
                damaged.append(str(error))
        if damaged:
            raise DataError(
                f"{len(damaged)} of {len(self.units)} units are damaged:\n  " + "\n  ".join(damaged)
            )
        return len(complete), len(self.units)

    def _read(self) -> dict[UnitPlan, Unit]:
        units = ((plan, read_unit(plan.folder, plan.stem, plan.digest)) for plan in self.units)
        return {plan: unit for plan, unit in units if unit is not None}

    def _check_rejections(self, complete: Mapping[UnitPlan, Unit]) -> None:
        """Stops, with the ledgers written, if too many inputs are known to be unusable."""
        rejected = [one for unit in complete.values() for one in unit.rejected]
        inputs = sum(plan.count for plan in self.units)
        if 2 * len(rejected) <= inputs:
            return
        ledgers = []
        for name, plans in self.plans.items():
            ledgers.append(self.out / name / LEDGER)
            write_text(ledgers[-1], _ledger([complete[plan] for plan in plans if plan in complete]))
        reasons = "".join(f"\n  {reason}" for _, reason in rejected[:3])
        raise DataError(
            f"{len(rejected)} of {inputs} inputs, more than half, can't be used: are these the right media, "
            f"and do config.clips.frames={self.clips.frames} and max_pixels={self.clips.max_pixels:,} fit "
            f"them?{reasons}\nAll are listed in {' and '.join(map(str, ledgers))}"
        )

    def _manifest(self, units: Sequence[Unit], name: str) -> Manifest:
        shape, dtype = record_format(self.spec, self.clips.size, self.clips.frames)
        rates = [unit.frames_per_second for unit in units if unit.frames_per_second is not None]
        return Manifest(
            tokenizer=self.spec,
            shape=shape,
            dtype=dtype,
            frames_per_second=statistics.median(rates) if rates else None,
            shards=tuple(unit.shard for unit in units if unit.shard.records),
            class_names=tuple(self.class_names),
            rejected=sum(len(unit.rejected) for unit in units),
            settings=dict(self.settings[name]),
        )

    @contextlib.contextmanager
    def _keeping(self, complete: Mapping[UnitPlan, Unit]) -> Iterator[None]:
        """Says of a failure to write how much is complete."""
        try:
            yield
        except (OSError, StorageError) as error:
            raise StorageError(
                f"{error}. {len(complete)} of {len(self.units)} shards are complete and kept: once that is "
                "mended, the same command goes on from there"
            ) from error


def _ledger(units: Sequence[Unit]) -> str:
    rejected = (one for unit in units for one in unit.rejected)
    return "".join(json.dumps({"source": source, "reason": reason}) + "\n" for source, reason in rejected)
