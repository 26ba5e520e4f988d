"""One worker of a pre-tokenisation: takes units of work, cuts and encodes their clips, and writes their shards.

Any number of workers share a job by nothing but its folder. Each begins with its own share of the units, and goes on
with whatever the others have left, so that a worker that is lost is replaced by those that are there.
"""

import contextlib
import dataclasses
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from toto_jax.data.claims import Claims
from toto_jax.data.clip_cutting import Clip
from toto_jax.data.clips import ClipsConfig
from toto_jax.data.decoding import Decoders, DecodingConfig, Request
from toto_jax.data.encoding import decode_ahead, encode_clips, rows_of_images
from toto_jax.data.manifest import record_format
from toto_jax.data.media import MediaItem
from toto_jax.data.media_reader import check_disk
from toto_jax.data.progress import Progress
from toto_jax.data.shard_writer import ShardWriter, Unit, read_unit
from toto_jax.data.timeline import Timeline
from toto_jax.data.work_plan import UnitPlan
from toto_jax.errors import ConfigError, DataError, StorageError
from toto_jax.tokenizers.base import Tokenizer

# How often a worker that has nothing left to take looks whether the others are done.
_POLL_SECONDS = 1.0
_LONGEST_POLL_SECONDS = 15.0
# How long an encoder may take over a batch: the first one is compiled, and a slow disk may hold up all of them.
_ENCODING_SECONDS = 1800.0


@dataclasses.dataclass(frozen=True)
class Share:
    """Worker `index` of `count`: which units it begins with.

    Raises:
      ConfigError: if there is no such worker.
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ConfigError(
                f"There is no worker {self.index} of {self.count}: give --shard=0/{max(self.count, 1)} up to "
                f"--shard={max(self.count, 1) - 1}/{max(self.count, 1)}"
            )

    def order(self, plans: Sequence[UnitPlan]) -> list[UnitPlan]:
        """Returns its own units first, then the others' in turn."""
        return [
            plan
            for first in range(self.count)
            for plan in plans[(self.index + first) % self.count :: self.count]
        ]


class Worker:
    """Args:
    plans: all units of the job.
    tokenizer: encodes `clips.encode_batch` clips at a time.
    clips: how clips are cut.
    decoding: limits of the child processes that cut them.
    class_numbers: class name -> number.
    seed: of the random starts and crops.
    share: which units it begins with.
    timeline: of what it does.

    Attributes:
    complete: the units that are known to be complete, whoever wrote them.
    clips_written: by this worker.
    """

    def __init__(
        self,
        plans: Sequence[UnitPlan],
        tokenizer: Tokenizer,
        clips: ClipsConfig,
        decoding: DecodingConfig,
        class_numbers: Mapping[str, int],
        seed: int,
        share: Share,
        timeline: Timeline,
    ):
        self._plans, self._tokenizer, self._clips = plans, tokenizer, clips
        self._decoding, self._class_numbers, self._seed = decoding, class_numbers, seed
        self._share, self._timeline = share, timeline
        self.complete: dict[UnitPlan, Unit] = {}
        self.clips_written = 0

    def run(self, check: Callable[[Mapping[UnitPlan, Unit]], None]) -> None:
        """Goes on until all units are complete, whoever completed them.

        Args:
          check: is shown all complete units whenever there are more, and may raise.

        Raises:
          StorageError: when a unit can't be written.
        """
        pending = self._pending(self._plans)
        check(self.complete)
        if not pending:
            return
        inputs = sum(plan.count for plan in self._plans)
        progress = Progress("pretokenize", inputs, self._inputs_done(), "inputs")
        with (
            contextlib.closing(progress),
            contextlib.closing(Claims(quiet=self._decoding.patience + _ENCODING_SECONDS)) as claims,
        ):
            wait = _POLL_SECONDS
            while pending:
                before = len(self.complete)
                for plan in self._pass(pending, claims, progress):
                    claims.release(plan.folder, plan.stem)
                    progress.done(self._inputs_done())
                    check(self.complete)
                pending = self._pending(pending)
                progress.done(self._inputs_done())
                if pending and len(self.complete) == before:
                    time.sleep(wait)
                    wait = min(2 * wait, _LONGEST_POLL_SECONDS)
                else:
                    wait = _POLL_SECONDS
            check(self.complete)

    def _pass(self, pending: Sequence[UnitPlan], claims: Claims, progress: Progress) -> Iterator[UnitPlan]:
        """Yields the units that it has written, having taken what nobody else had."""

        def taken() -> Iterator[tuple[UnitPlan, MediaItem]]:
            for plan in self._share.order(pending):
                if self._is_complete(plan) or not claims.take(plan.folder, plan.stem):
                    continue
                if self._is_complete(plan):  # by somebody who gave it up just before it was taken
                    claims.release(plan.folder, plan.stem)
                    continue
                for item in plan.items():
                    yield plan, item

        def cut(work: tuple[UnitPlan, MediaItem]) -> Iterator[Clip]:
            item = work[1]
            label = None if item.label is None else self._class_numbers[item.label]
            clips = decoders.clips(Request(item, label, self._clips, self._seed))
            return self._measured(_blaming_the_disk(clips, item), item.name)

        decoders = Decoders(self._decoding)
        threads, room = self._decoding.children, int(self._decoding.buffer_gb * 2**30)
        # A batch's worth of images, so that no decoder waits while the batch before is encoded; of videos, which take
        # longer, few: units that are taken early are nobody else's.
        images, videos = max(2 * threads, self._clips.encode_batch * self._clips.frames), 2 * threads
        ahead = decode_ahead(
            cut, taken(), threads, room, lambda clip: clip.video_FHWC.nbytes,
            lambda work: images if work[0].kind == "image" else videos,
        )  # fmt: skip
        # Children end with the threads that started them, which are those of one pass.
        with contextlib.closing(decoders), contextlib.closing(ahead) as decoded:
            for plan, inputs in itertools.groupby(decoded, key=lambda pair: pair[0][0]):
                self.complete[plan] = self._write(
                    plan, ((item, clips) for (_, item), clips in inputs), claims, progress
                )
                yield plan

    def _write(
        self,
        plan: UnitPlan,
        inputs: Iterable[tuple[MediaItem, Iterator[Clip]]],
        claims: Claims,
        progress: Progress,
    ) -> Unit:
        """Encodes and writes one unit from its inputs' clips."""

        def accepted() -> Iterator[Clip]:
            for item, clips in inputs:
                kept = 0
                try:
                    for clip in clips:
                        kept += 1
                        claims.beat()
                        yield clip
                except DataError as error:
                    before = f"; {kept} clips from before that are kept" if kept else ""
                    writer.reject(item.name, f"{error}{before}")
                claims.beat()
                progress.advance(1)

        clips = rows_of_images(accepted(), self._clips.frames) if plan.kind == "image" else accepted()
        shape, dtype = record_format(self._tokenizer.spec, self._clips.size, self._clips.frames)
        with contextlib.closing(ShardWriter(plan.folder, plan.stem, plan.kind)) as writer:
            try:
                for codes, record in encode_clips(
                    clips, self._tokenizer, self._clips.encode_batch, shape, dtype, self._timeline
                ):
                    claims.beat()
                    writer.add(codes, record)
                    self.clips_written += 1
                return writer.commit(plan.digest)
            except StorageError:
                # Another worker took the unit for abandoned, wrote it, and has cleared away this one's temporary files.
                if self._is_complete(plan):
                    return self.complete[plan]
                raise

    def _measured(self, clips: Iterator[Clip], name: str) -> Iterator[Clip]:
        """Yields clips, with the time that each took in this thread's lane."""
        lane = threading.current_thread().name.replace("_", " ")
        while True:
            with self._timeline.span(lane, name):
                clip = next(clips, None)
            if clip is None:
                return
            yield clip

    def _is_complete(self, plan: UnitPlan) -> bool:
        if plan not in self.complete:
            unit = read_unit(plan.folder, plan.stem, plan.digest)
            if unit is not None:
                self.complete[plan] = unit
        return plan in self.complete

    def _pending(self, plans: Sequence[UnitPlan]) -> list[UnitPlan]:
        return [plan for plan in plans if not self._is_complete(plan)]

    def _inputs_done(self) -> int:
        return sum(plan.count for plan in self.complete)


def _blaming_the_disk(clips: Iterator[Clip], item: MediaItem) -> Iterator[Clip]:
    """Yields clips. After an error the disk is asked at once: it may be back when the error's turn comes."""
    try:
        yield from clips
    except DataError:
        check_disk(item)
        raise
