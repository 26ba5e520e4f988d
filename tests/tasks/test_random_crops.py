"""Squares against means taken by hand, and against a picture whose pixels say where they were."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toto_jax.tasks.random_crops import area_weights, random_crops


def where(size: int) -> np.ndarray:
    """Returns one frame, (1, 1, S, S, 3), whose red is the row and whose green is the column."""
    rows, columns = np.mgrid[:size, :size]
    return np.stack([rows, columns, 0 * rows], -1)[None, None].astype(np.uint8)


@pytest.mark.parametrize("side", [48, 40, 36, 24])
def test_resizing_is_the_mean_of_areas(side: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (48, 48, 3)).astype(np.uint8)
    found = random_crops(jnp.asarray(picture[None, None]), jax.random.key(0), side, (side, side))[0, 0]
    if 48 % side == 0:
        squares = picture.reshape(side, 48 // side, side, 48 // side, 3)
        np.testing.assert_array_equal(found, np.floor(squares.mean((1, 3)) + 0.5))
    # Means of areas keep the mean of all, but for halves, which go up.
    np.testing.assert_allclose(found.mean(), picture.mean(), atol=0.2)


def test_weights_worked_out() -> None:
    """Three pixels become two: the second covers half of the middle one and the last."""
    found = area_weights(jnp.array([0]), jnp.array([2]), 2, 3)[0]
    np.testing.assert_allclose(found, [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]], atol=1e-6)
    np.testing.assert_allclose(area_weights(jnp.array([1]), jnp.array([2]), 1, 3)[0], found[1:], atol=1e-6)


def test_at_its_own_size_a_square_is_a_cut_anywhere() -> None:
    frames = np.repeat(where(16), 200, axis=0)
    found = np.asarray(random_crops(jnp.asarray(frames), jax.random.key(1), 12, (16, 16)))
    corners = found[:, 0, 0, 0, :2].astype(int)
    for square, (top, left) in zip(found, corners, strict=True):
        np.testing.assert_array_equal(square[0], frames[0, 0, top : top + 12, left : left + 12])
    assert {tuple(corner) for corner in corners} == {(top, left) for top in range(5) for left in range(5)}


def test_sides_are_drawn_evenly_and_frames_of_a_clip_are_cut_alike() -> None:
    clips = jnp.asarray(np.repeat(np.repeat(where(160), 300, axis=0), 2, axis=1))
    found = np.asarray(random_crops(clips, jax.random.key(2), 80, (80, 160))).astype(int)
    np.testing.assert_array_equal(found[:, 0], found[:, 1])
    # From one pixel to the next the place moves on by stored / side pixels.
    sides = 160 * 79 / (found[:, 0, -1, 0, 0] - found[:, 0, 0, 0, 0])
    assert sides.min() < 85
    assert sides.max() > 150
    # Uniform over 80..160 has the mean 120 and the deviation 23.4; 300 draws know the mean to 1.35.
    assert sides.mean() == pytest.approx(120, abs=5)
