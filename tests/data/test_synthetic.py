import time

import numpy as np
import pytest

from toto_jax.data.synthetic import MOTIONS, clip_index, clip_name, render_clip


def clips_of(motion: str, count: int, seed: int = 0) -> list[np.ndarray]:
    first = MOTIONS.index(motion)
    return [
        render_clip(seed, first + len(MOTIONS) * k, frames=8, size=32).astype(float) for k in range(count)
    ]


def shift(before_HW: np.ndarray, after_HW: np.ndarray) -> tuple[int, int]:
    """The (right, down) movement that explains two frames best: peak of their circular cross-correlation."""
    spectra = [np.fft.fft2(frame) for frame in (before_HW, after_HW)]
    correlation = np.fft.ifft2(np.conj(spectra[0]) * spectra[1]).real
    down, right = np.unravel_index(correlation.argmax(), correlation.shape)
    return (right + 16) % 32 - 16, (down + 16) % 32 - 16


def movement(clip: np.ndarray) -> tuple[float, float]:
    """Mean (right, down) movement a frame, over steps of two frames, of what is not background."""
    grey = clip.sum(-1)
    moving = grey - np.median(grey, axis=(1, 2), keepdims=True)
    return tuple(np.mean([shift(moving[k], moving[k + 2]) for k in range(6)], axis=0) / 2)


def test_a_clip_is_a_function_of_seed_and_index() -> None:
    clip = render_clip(3, 5, frames=4, size=24)
    assert clip.shape == (4, 24, 24, 3)
    assert clip.dtype == np.uint8
    np.testing.assert_array_equal(clip, render_clip(3, 5, frames=4, size=24))
    assert (clip != render_clip(4, 5, frames=4, size=24)).mean() > 0.1
    assert (clip != render_clip(3, 13, frames=4, size=24)).mean() > 0.1


def test_names_hold_class_and_number() -> None:
    assert [clip_name(index).split("/")[0] for index in range(8)] == list(MOTIONS)
    assert len({clip_name(index) for index in range(100)}) == 100
    assert all(clip_index(clip_name(index)) == index for index in (0, 7, 123))


@pytest.mark.parametrize(
    ("motion", "axis", "sign"), [("left", 0, -1), ("right", 0, 1), ("up", 1, -1), ("down", 1, 1)]
)
def test_headings_are_what_their_names_say(motion: str, axis: int, sign: int) -> None:
    """The largest shape leads the correlation, though others move too: in most clips the class shows."""
    speeds = np.array([sign * movement(clip)[axis] for clip in clips_of(motion, 24)])
    assert (speeds > 0.5).mean() >= 0.75
    assert 1.3 < np.median(speeds) < 3.2  # pixels a frame, 1.5 to 3 are drawn


@pytest.mark.parametrize(("motion", "grows"), [("growing", True), ("shrinking", False)])
def test_sizes_change_as_their_names_say(motion: str, grows: bool) -> None:
    for clip in clips_of(motion, 12):
        background = np.median(clip, axis=(0, 1, 2))
        area = (np.abs(clip - background).max(-1) > 60).mean((1, 2))
        assert (area[-1] > 1.5 * area[0]) == grows


def test_repeating_the_last_frame_predicts_badly_where_things_move() -> None:
    clips = np.stack([clip for motion in MOTIONS for clip in clips_of(motion, 4)])
    changed = np.abs(np.diff(clips, axis=1)).max(-1) > 24
    assert 0.12 < changed.mean() < 0.35  # enough to learn, on a background that mostly rests
    assert changed.mean((2, 3)).min() > 0.02  # in every frame of every clip


def test_edges_move_by_parts_of_a_pixel() -> None:
    """A slow shape gives many greys along its edge, not two."""
    clip = clips_of("right", 1)[0]
    assert len(np.unique(clip[:, :, :, 0].astype(int))) > 25


def test_rendering_is_fast() -> None:
    began = time.process_time()
    for index in range(60):
        render_clip(0, index, frames=8, size=32)
    assert 60 / (time.process_time() - began) > 300
