import contextlib
import itertools
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from toto_jax.data.clip_cutting import Clip
from toto_jax.data.clip_record import ClipRecord
from toto_jax.data.encoding import decode_ahead, encode_clips, rows_of_images
from toto_jax.data.timeline import Timeline
from toto_jax.errors import ConfigError, DataError
from toto_jax.tokenizers.base import TokenizerSpec

TIMELINE = Timeline(keep=False)


def clip(number: int, frames: int = 1) -> Clip:
    video = np.full((frames, 2, 2, 3), number, np.uint8)
    return Clip(video, ClipRecord("image", (f"{number}.png",), (number,), None, None, (0,), ((number, 0),)))


class Means:
    """Codes are twice the mean of a frame; remembers the shapes that it is called with."""

    spec = TokenizerSpec("means", 256, 2, {}, "means")

    def __init__(self, offset: int = 0):
        self.offset, self.shapes = offset, []

    def encode(self, video_BFHWC: np.ndarray) -> np.ndarray:
        self.shapes.append(video_BFHWC.shape)
        return 2 * video_BFHWC.mean((2, 3, 4)).astype(np.int32)[..., None, None] + self.offset


def ahead(decode, items, threads: int, room: int = 1000) -> Iterator:
    """Results are of one byte each."""
    return decode_ahead(decode, items, threads, room, lambda result: 1, lambda item: 2 * threads)


def test_decoding_keeps_the_order_and_passes_rejections_on() -> None:
    gates = {number: threading.Event() for number in range(6)}

    def decode(number: int) -> Iterator[int]:
        # Each waits for its successor, so that threads finish in reverse order.
        if number % 2 == 0:
            assert gates[number + 1].wait(5)
        gates[number].set()
        yield number
        if number == 3:
            raise DataError("bad")
        yield 10 * number

    taken = {}
    for item, results in ahead(decode, range(6), threads=2):
        taken[item] = []
        with contextlib.suppress(DataError):
            for result in results:
                taken[item].append(result)
    assert taken == {0: [0, 0], 1: [1, 10], 2: [2, 20], 3: [3], 4: [4, 40], 5: [5, 50]}


def test_results_that_nobody_takes_are_passed_over() -> None:
    def decode(number: int) -> Iterator[int]:
        yield from range(number)
        raise DataError("bad")

    assert [item for item, _ in ahead(decode, range(5), threads=2, room=1)] == [0, 1, 2, 3, 4]


def test_decoding_runs_ahead_by_a_bounded_number() -> None:
    items = iter(range(1000))
    stream = ahead(lambda number: iter([number]), items, threads=3)
    assert [next(stream)[0] for _ in range(2)] == [0, 1]
    stream.close()
    assert next(items) == 7  # the second result came when six more than the first had been asked for


def test_how_far_ahead_depends_on_the_last_that_was_taken() -> None:
    """Ten quick items, then slow ones: of quick ones four may be under way, and two once a slow one is among them."""
    taken = []

    def items() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number

    stream = decode_ahead(
        lambda number: iter([number]), items(), 1, 1000, lambda result: 1, lambda item: 4 if item < 10 else 2
    )
    assert [len(taken) - item for item, _ in itertools.islice(stream, 14)] == [4] * 7 + [4, 3, 2, 2, 2, 2, 2]


def test_results_wait_in_bounded_room_but_never_for_ever() -> None:
    """A later input with many results can't fill the room so that the one whose turn it is never comes."""
    made: list[tuple[int, int]] = []
    late = threading.Event()

    def decode(number: int) -> Iterator[int]:
        if number == 0:
            assert late.wait(5)
        for result in range(20):
            made.append((number, result))
            if number == 1 and result == 3:  # one more than there is room for
                late.set()
            yield result

    stream = ahead(decode, range(2), threads=2, room=3)
    _, results = next(stream)
    assert next(results) == 0
    assert sum(number == 1 for number, _ in made) <= 5
    assert list(results) == list(range(1, 20))
    assert list(next(stream)[1]) == list(range(20))


def test_other_errors_end_the_stream() -> None:
    def decode(number: int) -> Iterator[int]:
        raise ConfigError("no decoder")
        yield

    _, results = next(ahead(decode, range(3), threads=2))
    with pytest.raises(ConfigError, match="no decoder"):
        next(results)


def test_images_make_rows_and_none_is_lost() -> None:
    rows = list(rows_of_images((clip(number) for number in range(8)), frames=3))
    assert [row.video_FHWC[:, 0, 0, 0].tolist() for row in rows] == [[0, 1, 2], [3, 4, 5], [6, 7, 0]]
    assert rows[2].record.sources == ("6.png", "7.png", "0.png")
    assert rows[2].record.labels == (6, 7, 0)
    assert rows[2].record.crops == ((6, 0), (7, 0), (0, 0))
    assert rows[0].record.kind == "image"


def test_a_few_images_are_repeated_to_fill_a_row() -> None:
    rows = list(rows_of_images([clip(4), clip(5)], frames=7))
    assert [row.video_FHWC[:, 0, 0, 0].tolist() for row in rows] == [[4, 5, 4, 5, 4, 5, 4]]
    assert list(rows_of_images([], frames=7)) == []


def test_batches_are_of_one_size_and_padding_is_dropped() -> None:
    tokenizer = Means()
    clips = [clip(number, frames=2) for number in range(5)]
    encoded = list(
        encode_clips(clips, tokenizer, batch_size=2, shape=(2, 1, 1), dtype="uint16", timeline=TIMELINE)
    )
    assert tokenizer.shapes == [(2, 2, 2, 2, 3)] * 3
    assert [codes.tolist() for codes, _ in encoded] == [[[[2 * number]]] * 2 for number in range(5)]
    assert all(codes.dtype == np.uint16 for codes, _ in encoded)
    assert [record.source for _, record in encoded] == [f"{number}.png" for number in range(5)]


def test_a_tokenizer_that_breaks_its_word_is_noticed() -> None:
    with pytest.raises(DataError, match=r"shape \(1, 1, 1\); its spec says \(1, 2, 2\)"):
        list(encode_clips([clip(1)], Means(), 2, (1, 2, 2), "uint16", TIMELINE))
    with pytest.raises(DataError, match=r"made codes 256..256; its spec says 0..255"):
        list(encode_clips([clip(1), clip(1)], Means(offset=254), 2, (1, 1, 1), "uint16", TIMELINE))
    with pytest.raises(DataError, match=r"made codes -1..1"):
        list(encode_clips([clip(0), clip(1)], Means(offset=-1), 2, (1, 1, 1), "uint16", TIMELINE))


def test_the_next_batch_is_put_together_while_one_is_encoded() -> None:
    timeline = Timeline(keep=False)
    second = threading.Event()

    def clips() -> Iterator[Clip]:
        yield clip(0)
        second.set()
        yield clip(1)

    class Waiting(Means):
        def encode(self, video_BFHWC: np.ndarray) -> np.ndarray:
            assert second.wait(5), "the second batch was not asked for before the first was encoded"
            time.sleep(0.01)
            return super().encode(video_BFHWC)

    encoded = encode_clips(clips(), Waiting(), 1, (1, 1, 1), "uint16", timeline)
    assert [codes.item() for codes, _ in encoded] == [0, 2]
    assert timeline.busy("encode") > 0
