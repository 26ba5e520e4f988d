import threading

import numpy as np
import pytest

from toto_jax.data.clip_cutting import Clip
from toto_jax.data.encoding import decode_ahead, encode_clips, rows_of_images
from toto_jax.data.manifest import ClipRecord
from toto_jax.errors import ConfigError, DataError
from toto_jax.tokenizers.base import TokenizerSpec


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


def test_decoding_keeps_the_order_and_passes_rejections_on() -> None:
    gates = {number: threading.Event() for number in range(6)}

    def decode(number: int) -> int:
        # Each waits for its successor, so that threads finish in reverse order.
        if number % 2 == 0:
            assert gates[number + 1].wait(5)
        gates[number].set()
        if number == 3:
            raise DataError("bad")
        return 10 * number

    results = list(decode_ahead(decode, range(6), threads=2))
    assert [str(result) for result in results] == ["0", "10", "20", "bad", "40", "50"]
    assert isinstance(results[3], DataError)


def test_decoding_runs_ahead_by_a_bounded_number() -> None:
    items = iter(range(1000))
    stream = decode_ahead(lambda number: number, items, threads=3)
    assert [next(stream) for _ in range(2)] == [0, 1]
    stream.close()
    assert next(items) == 7  # the second result came when six more than the first had been asked for


def test_other_errors_end_the_stream() -> None:
    def decode(number: int) -> int:
        raise ConfigError("no decoder")

    with pytest.raises(ConfigError, match="no decoder"):
        next(decode_ahead(decode, range(3), threads=2))


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
    encoded = list(encode_clips(clips, tokenizer, batch_size=2, shape=(2, 1, 1), dtype="uint16"))
    assert tokenizer.shapes == [(2, 2, 2, 2, 3)] * 3
    assert [codes.tolist() for codes, _ in encoded] == [[[[2 * number]]] * 2 for number in range(5)]
    assert all(codes.dtype == np.uint16 for codes, _ in encoded)
    assert [record.source for _, record in encoded] == [f"{number}.png" for number in range(5)]


def test_a_tokenizer_that_breaks_its_word_is_noticed() -> None:
    with pytest.raises(DataError, match=r"shape \(1, 1, 1\); its spec says \(1, 2, 2\)"):
        list(encode_clips([clip(1)], Means(), 2, (1, 2, 2), "uint16"))
    with pytest.raises(DataError, match=r"made codes 256..256; its spec says 0..255"):
        list(encode_clips([clip(1), clip(1)], Means(offset=254), 2, (1, 1, 1), "uint16"))
    with pytest.raises(DataError, match=r"made codes -1..1"):
        list(encode_clips([clip(0), clip(1)], Means(offset=-1), 2, (1, 1, 1), "uint16"))
