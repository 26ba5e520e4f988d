"""Roll-out past the context against a sliding window written out, without a cache, in NumPy."""

import functools
from typing import Any

import jax
import numpy as np
import pytest

from toto_jax.errors import ConfigError, DataError, TotoError
from toto_jax.generation.decode import generate
from toto_jax.generation.rollout import continue_frames
from toto_jax.generation.sampling import SamplerConfig
from toto_jax.models.llama import Llama, LlamaConfig
from toto_jax.video import ClipGeometry

CONFIG = LlamaConfig(
    layers=2, d_model=16, heads=2, kv_heads=2, head_dim=8, d_ff=32, rope_base=100.0,
    rope_grid=(), qk_norm=False, norm_eps=1e-6,
    init_std=0.5, tied_head=False, vocabulary_multiple=8, dtype="float32", attention="chunked",
    remat="none", scan_unroll=1,
)  # fmt: skip
DECODER = Llama(CONFIG, 32)
GEOMETRY = ClipGeometry(frames=4, height=2, width=3)
CODES = 20  # so ids 4..23; 0..3 are special tokens, 24..31 padding
GREEDY = SamplerConfig(0.0, 0, 1.0)
WILD = SamplerConfig(10.0, 0, 1.0)
KEY = jax.random.key(0)


@functools.cache
def params() -> Any:
    return jax.jit(DECODER.init)(jax.random.key(0))


def prompt(frames: int) -> np.ndarray:
    return np.random.default_rng(frames).integers(0, CODES, (2, frames, 2, 3), np.uint16)


def roll(codes_BFhw: np.ndarray, frames: int, sampler: SamplerConfig = GREEDY, **options: Any) -> np.ndarray:
    return continue_frames(
        DECODER, params(), codes_BFhw, frames, GEOMETRY, sampler, KEY, vocabularies=(CODES,), **options
    )


def window_by_hand(codes_BFhw: np.ndarray, frames: int, stride: int) -> np.ndarray:
    """Greedy codes, each from a run over [start token, codes of the window so far, padding]."""
    logits_of = jax.jit(lambda ids: DECODER.apply(params(), ids).logits_BTV)
    rows = [codes.reshape(len(codes), 6).tolist() for codes in codes_BFhw]
    for video in rows:
        total = len(video) + frames
        window = [code for frame in video for code in frame]
        while len(video) < total:
            if len(window) == 24:
                window = window[6 * stride :]
            ids = np.zeros((1, 25), np.int32)
            ids[0, : len(window) + 1] = [1, *(code + 4 for code in window)]
            window.append(int(np.argmax(logits_of(ids)[0, len(window), 4 : 4 + CODES])))
            if len(window) % 6 == 0:
                video.append(window[-6:])
    return np.array(rows)[:, -frames:].reshape(2, frames, 2, 3)


@pytest.mark.parametrize(
    ("given", "frames", "stride"),
    [(1, 2, 1), (2, 5, 1), (4, 3, 1), (3, 6, 3), (0, 5, 2)],
    ids=["within the context", "sliding", "full prompt", "stride 3 that doesn't fit", "no prompt"],
)
def test_a_window_slides_by_whole_frames(given: int, frames: int, stride: int) -> None:
    got = roll(prompt(given), frames, stride=stride)
    assert got.shape == (2, frames, 2, 3)
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, window_by_hand(prompt(given), frames, stride))


def test_later_frames_depend_on_the_prompt_only_through_the_window() -> None:
    """With a full prompt and stride 1 the first frame has left the window before anything is drawn."""
    one, other = prompt(4), prompt(4)
    other[:, 0] = (other[:, 0] + 1) % CODES
    np.testing.assert_array_equal(roll(one, 2), roll(other, 2))
    other[:, 1] = (other[:, 1] + 1) % CODES
    assert (roll(one, 2) != roll(other, 2)).any()


def test_only_codes_are_drawn_and_windows_draw_afresh() -> None:
    """At this temperature ids are nearly uniform over 32, so 600 draws without a range would leave it."""
    new = roll(prompt(2), 50, WILD)
    assert set(new.ravel().tolist()) == set(range(CODES))
    assert len({frame.tobytes() for frame in new[0]}) > 40
    np.testing.assert_array_equal(new, roll(prompt(2), 50, WILD))


def test_windows_of_one_shape_compile_once() -> None:
    sampler = SamplerConfig(0.9, 3, 1.0)  # used nowhere else, so nothing is compiled yet
    before = generate._cache_size()
    roll(prompt(2), 12, sampler)
    assert generate._cache_size() == before + 2  # 2 frames to 4, then 3 to 4 ten times
    roll(prompt(4), 3, sampler)
    assert generate._cache_size() == before + 2


@pytest.mark.parametrize(
    ("codes", "frames", "stride", "error", "message"),
    [
        (prompt(5), 1, 1, ConfigError, "5 frames is longer than the context of 4; give the latest 4"),
        (prompt(2)[..., :2], 1, 1, DataError, r"\(2, 2, 2, 2\) are not clips x frames x 2 x 3"),
        (prompt(2)[0], 1, 1, DataError, "are not clips x frames"),
        (np.full((1, 1, 2, 3), CODES), 1, 1, DataError, "from 20 to 20; the codebook has 0 to 19"),
        (prompt(1).astype(int) - 30, 1, 1, DataError, "from -3"),
        (prompt(2), 0, 1, ConfigError, "frames must be 1 or more"),
        (prompt(2), 1, 4, ConfigError, "can't move on by stride=4"),
        (prompt(2), 1, 0, ConfigError, "can't move on by stride=0"),
    ],
)
def test_what_cannot_be_continued(
    codes: np.ndarray, frames: int, stride: int, error: type[TotoError], message: str
) -> None:
    with pytest.raises(error, match=message):
        roll(codes, frames, stride=stride)
