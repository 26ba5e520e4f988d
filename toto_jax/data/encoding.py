"""The stream inside a unit of work: inputs are decoded ahead, and encoded in equal batches meanwhile.

Shapes: B clips, F frames, H x W pixels, C = 3 colours.
"""

import collections
import concurrent.futures
import contextlib
import functools
import itertools
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

import numpy as np

from toto_jax.data.clip_cutting import Clip, join_images
from toto_jax.data.clip_record import ClipRecord
from toto_jax.data.timeline import Timeline
from toto_jax.errors import DataError
from toto_jax.tokenizers.base import Tokenizer

_END = object()
Item = TypeVar("Item")
Result = TypeVar("Result")


class _Room:
    """What results may wait in: so many bytes, and more for the input whose turn it is, which waits for nobody."""

    def __init__(self, size: int):
        self._size, self._used = size, 0
        self._changed = threading.Condition()
        self.closed = False

    def enter(self, size: int, is_first: Callable[[], bool]) -> bool:
        """Waits for room; returns whether there is still somebody who wants the result."""
        with self._changed:
            self._changed.wait_for(lambda: self.closed or is_first() or self._used + size <= self._size)
            self._used += size
            return not self.closed

    def leave(self, size: int) -> None:
        with self._changed:
            self._used -= size
            self._changed.notify_all()

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        self.closed = True
        self.wake()


class _Line(Generic[Result]):
    """The results of one input, from the thread that makes them to the one that takes them."""

    def __init__(self, room: _Room, size_of: Callable[[Result], int]):
        self._room, self._size_of = room, size_of
        self._results: queue.SimpleQueue[Result | Exception | None] = queue.SimpleQueue()
        self.is_first = False

    def fill(self, results: Callable[[], Iterator[Result]]) -> None:
        end: Exception | None = None
        try:
            for result in results():
                # Of the input whose turn it is, one result waits at most beyond the common room.
                if not self._room.enter(
                    self._size_of(result), lambda: self.is_first and self._results.empty()
                ):
                    break
                self._results.put(result)
        except Exception as error:
            end = error
        self._results.put(end)

    def take(self) -> Iterator[Result]:
        while (result := self._results.get()) is not None:
            if isinstance(result, Exception):
                raise result
            self._room.leave(self._size_of(result))
            yield result


def decode_ahead(
    decode: Callable[[Item], Iterator[Result]],
    items: Iterable[Item],
    threads: int,
    room: int,
    size_of: Callable[[Result], int],
    ahead: Callable[[Item], int],
) -> Iterator[tuple[Item, Iterator[Result]]]:
    """Yields (item, its results) in order while threads work on the next ones.

    Args:
      decode: what to do; what it raises is raised where its results are taken.
      items: on what; taken one by one.
      threads: how many.
      room: bytes of results that may wait for their turn.
      size_of: bytes of a result.
      ahead: how many items may be taken, and not yet given, once this one is the last of them; 1 or more.
    """
    pool = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="decode")
    shared = _Room(room)
    waiting: collections.deque[tuple[Item, _Line[Result]]] = collections.deque()
    items = iter(items)
    try:
        while True:
            while not waiting or len(waiting) < ahead(waiting[-1][0]):
                item = next(items, _END)
                if item is _END:
                    break
                line = _Line(shared, size_of)
                waiting.append((item, line))
                pool.submit(line.fill, functools.partial(decode, item))
            if not waiting:
                return
            item, line = waiting.popleft()
            line.is_first = True
            shared.wake()
            results = line.take()
            yield item, results
            with contextlib.suppress(DataError):
                collections.deque(results, maxlen=0)
    finally:
        shared.close()
        pool.shutdown(wait=False, cancel_futures=True)


def rows_of_images(images: Iterable[Clip], frames: int) -> Iterator[Clip]:
    """Yields clips of `frames` images each (paper section 3.4), in the order given.

    None is lost: the last row is filled up with the first images again.
    """
    first: list[Clip] = []
    row: list[Clip] = []
    for image in images:
        if len(first) < frames:
            first.append(image)
        row.append(image)
        if len(row) == frames:
            yield join_images(row)
            row = []
    if row:
        yield join_images(row + list(itertools.islice(itertools.cycle(first), frames - len(row))))


def encode_clips(
    clips: Iterable[Clip],
    tokenizer: Tokenizer,
    batch_size: int,
    shape: tuple[int, ...],
    dtype: str,
    timeline: Timeline,
) -> Iterator[tuple[np.ndarray, ClipRecord]]:
    """Yields each clip's codes and origin. While a batch is encoded, the next one is put together.

    Args:
      clips: of equal shape.
      tokenizer: called on `batch_size` clips, black ones added to the last, so that it compiles once.
      batch_size: B.
      shape: what a clip's codes are to be.
      dtype: likewise.
      timeline: gets a span for each batch in the lane "encode".

    Raises:
      DataError: if the tokenizer returns another shape than its spec says, or codes outside its codebook.
    """

    def encode(group: tuple[Clip, ...]) -> list[tuple[np.ndarray, ClipRecord]]:
        video_BFHWC = np.zeros((batch_size, *group[0].video_FHWC.shape), np.uint8)
        for row, clip in enumerate(group):
            video_BFHWC[row] = clip.video_FHWC
        with timeline.span("encode", f"{len(group)} clips"):
            codes = np.asarray(tokenizer.encode(video_BFHWC))[: len(group)]
        _check(codes, tokenizer, shape)
        return [(row, clip.record) for row, clip in zip(codes.astype(dtype), group, strict=True)]

    with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="encode") as thread:
        waiting: collections.deque[concurrent.futures.Future] = collections.deque()
        for group in _batched(clips, batch_size):
            waiting.append(thread.submit(encode, group))
            if len(waiting) > 1:
                yield from waiting.popleft().result()
        for encoded in waiting:
            yield from encoded.result()


def _check(codes: np.ndarray, tokenizer: Tokenizer, shape: tuple[int, ...]) -> None:
    spec = tokenizer.spec
    if codes.shape[1:] != shape:
        raise DataError(
            f"The {spec.kind} tokenizer made clips of shape {codes.shape[1:]}; its spec says {shape}"
        )
    if codes.min() < 0 or codes.max() >= spec.codebook_size:
        raise DataError(
            f"The {spec.kind} tokenizer made codes {codes.min()}..{codes.max()}; its spec says "
            f"0..{spec.codebook_size - 1}"
        )


def _batched(items: Iterable[Item], size: int) -> Iterator[tuple[Item, ...]]:
    items = iter(items)
    while group := tuple(itertools.islice(items, size)):
        yield group
