"""The stream inside a unit of work: inputs are decoded ahead in threads, and encoded in equal batches.

Shapes: B clips, F frames, H x W pixels, C = 3 colours.
"""

import collections
import concurrent.futures
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np

from toto_jax.data.clip_cutting import Clip, join_images
from toto_jax.data.manifest import ClipRecord
from toto_jax.errors import DataError
from toto_jax.tokenizers.base import Tokenizer

Item = TypeVar("Item")
Result = TypeVar("Result")


def decode_ahead(
    decode: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Iterator[Result | DataError]:
    """Yields `decode(item)` in order while threads work on the next ones (decoders release Python's lock).

    Args:
      decode: what to do; a DataError that it raises is yielded in the result's place, others end the stream.
      items: on what.
      threads: how many; at most twice as many results wait.
    """
    pool = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="decode")
    waiting: collections.deque[concurrent.futures.Future[Result]] = collections.deque()
    items = iter(items)
    try:
        while True:
            for item in itertools.islice(items, 2 * threads - len(waiting)):
                waiting.append(pool.submit(decode, item))
            if not waiting:
                return
            try:
                result = waiting.popleft().result()
            except DataError as error:
                result = error
            yield result
    finally:
        pool.shutdown(cancel_futures=True)


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
    clips: Iterable[Clip], tokenizer: Tokenizer, batch_size: int, shape: tuple[int, ...], dtype: str
) -> Iterator[tuple[np.ndarray, ClipRecord]]:
    """Yields each clip's codes and origin.

    Args:
      clips: of equal shape.
      tokenizer: called on `batch_size` clips, black ones added to the last, so that it compiles once.
      batch_size: B.
      shape: what a clip's codes are to be.
      dtype: likewise.

    Raises:
      DataError: if the tokenizer returns another shape than its spec says, or codes outside its codebook.
    """
    for group in _batched(clips, batch_size):
        video_BFHWC = np.zeros((batch_size, *group[0].video_FHWC.shape), np.uint8)
        for row, clip in enumerate(group):
            video_BFHWC[row] = clip.video_FHWC
        codes = np.asarray(tokenizer.encode(video_BFHWC))[: len(group)]
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
        for row, clip in zip(codes.astype(dtype), group, strict=True):
            yield row, clip.record


def _batched(items: Iterable[Item], size: int) -> Iterator[tuple[Item, ...]]:
    items = iter(items)
    while group := tuple(itertools.islice(items, size)):
        yield group
