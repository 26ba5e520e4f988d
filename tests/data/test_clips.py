import dataclasses

import numpy as np
import pytest
from PIL import Image

from toto_jax.data.clips import ClipsConfig, check_pixels, crop_corner, frame_indices, resize_shortest_side
from toto_jax.errors import ConfigError, DataError


@pytest.mark.parametrize(
    ("frame_count", "frames", "stride", "steps", "starts"),
    [
        (100, 16, 4, 4, range(40)),  # 15 * 4 = 60 frames from first to last, so 0..39 start
        (61, 16, 4, 4, [0]),
        (60, 16, 4, 3, range(15)),  # 61 frames would be needed for every 4th
        (17, 16, 4, 1, [0, 1]),
        (16, 16, 4, 1, [0]),
        (5, 1, 4, 0, range(5)),
    ],
)
def test_frames_of_a_clip_are_equally_spaced_and_start_anywhere_that_fits(
    frame_count: int, frames: int, stride: int, steps: int, starts: range
) -> None:
    rng = np.random.default_rng(0)
    clips = [frame_indices(frame_count, frames, stride, rng) for _ in range(600)]
    assert {int(clip[0]) for clip in clips} == set(starts)
    for clip in clips:
        assert len(clip) == frames
        assert set(np.diff(clip)) <= {steps}


def test_too_few_frames_are_refused_with_both_numbers() -> None:
    with pytest.raises(DataError, match="has 1 frame, but a clip needs 16"):
        frame_indices(1, 16, 4, np.random.default_rng(0))
    with pytest.raises(DataError, match="has 15 frames, but a clip needs 16"):
        frame_indices(15, 16, 4, np.random.default_rng(0))


def test_resizing_halves_with_a_box_and_ends_bicubically() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (70, 203, 3), dtype=np.uint8))
    # 70 >= 2 * 16: to 101 x 35; 35 >= 32: to 50 x 17; then 17 -> 16 and 50 * 16 / 17 = 47.06 -> 47.
    expected = image.resize((101, 35), Image.Resampling.BOX).resize((50, 17), Image.Resampling.BOX)
    expected = expected.resize((47, 16), Image.Resampling.BICUBIC)
    resized = resize_shortest_side(image, 16)
    assert resized.size == (47, 16)
    np.testing.assert_array_equal(np.asarray(resized), np.asarray(expected))


@pytest.mark.parametrize(
    ("before", "after"), [((4, 8), (16, 32)), ((16, 16), (16, 16)), ((500, 40), (200, 16))]
)
def test_shortest_side_becomes_the_size(before: tuple[int, int], after: tuple[int, int]) -> None:
    assert resize_shortest_side(Image.new("RGB", before), 16).size == after


def test_an_exact_halving_is_a_mean_of_four() -> None:
    pixels = np.random.default_rng(0).integers(0, 64, (32, 40, 3), dtype=np.uint8) * 4
    means = pixels.reshape(16, 2, 20, 2, 3).mean((1, 3))
    resized = np.asarray(resize_shortest_side(Image.fromarray(pixels), 16))
    np.testing.assert_allclose(resized, means, atol=0.5)


def test_crops_lie_anywhere_within_the_frame() -> None:
    rng = np.random.default_rng(0)
    corners = {crop_corner(height=18, width=16, size=16, rng=rng) for _ in range(100)}
    assert corners == {(0, 0), (1, 0), (2, 0)}


def test_sizes_are_checked_before_and_after_resizing() -> None:
    check_pixels(1000, 1000, size=128, max_pixels=1_000_000)
    with pytest.raises(DataError, match=r"is 1001x1000 = 1,001,000 pixels .*max_pixels=1,000,000"):
        check_pixels(1000, 1001, size=128, max_pixels=1_000_000)
    # One pixel high and 100 wide would become 128 x 12,800.
    with pytest.raises(DataError, match="shortest side resized to 128"):
        check_pixels(1, 100, size=128, max_pixels=1_000_000)
    with pytest.raises(DataError, match="0x5"):
        check_pixels(5, 0, size=128, max_pixels=1_000_000)


COUNTS = [field.name for field in dataclasses.fields(ClipsConfig) if field.type is int]


@pytest.mark.parametrize("field", COUNTS)
@pytest.mark.parametrize("value", [0, -1, 2.5, True])
def test_counts_must_be_whole_and_positive(clips_config, field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"config.clips.{field} must be a whole number"):
        clips_config(**{field: value})


@pytest.mark.parametrize("percent", [-0.1, 100.1])
def test_validation_percent_is_a_percentage(clips_config, percent: float) -> None:
    with pytest.raises(ConfigError, match="0..100"):
        clips_config(validation_percent=percent)
