"""Likeness of pictures against the definitions written out, and cases with closed forms."""

import math

import numpy as np
import pytest

from toto_jax.evaluation.image_quality import psnr, ssim

C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def picture(seed: int, height: int = 14, width: int = 17) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_psnr_by_hand() -> None:
    truth = np.zeros((2, 2, 2, 3), np.uint8)
    assert psnr(truth, truth + 255) == pytest.approx(0)
    assert psnr(truth, truth + 10) == pytest.approx(20 * math.log10(25.5))
    assert psnr(truth, truth) == math.inf


def test_ssim_is_the_mean_over_windows_written_out() -> None:
    x, y = picture(0), (0.7 * picture(0) + 0.3 * picture(1)).astype(np.uint8)
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    window /= window.sum()
    values = []
    for colour, top, left in np.ndindex(3, 4, 7):
        a, b = (p[top : top + 11, left : left + 11, colour].astype(float) for p in (x, y))
        mean_a, mean_b = (window * a).sum(), (window * b).sum()
        var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
        covariance = (window * (a - mean_a) * (b - mean_b)).sum()
        above = (2 * mean_a * mean_b + C1) * (2 * covariance + C2)
        values.append(above / ((mean_a**2 + mean_b**2 + C1) * (var_a + var_b + C2)))
    assert ssim(x, y) == pytest.approx(np.mean(values), rel=1e-9)


def test_ssim_of_equal_flat_and_opposite_pictures() -> None:
    assert ssim(picture(0), picture(0)) == pytest.approx(1)
    dark, light = (np.full((12, 12, 3), level, np.uint8) for level in (50, 150))
    assert ssim(dark, light) == pytest.approx((2 * 50 * 150 + C1) / (50**2 + 150**2 + C1))
    assert ssim(picture(0), 255 - picture(0)) < 0


def test_clips_and_small_pictures_are_taken_too() -> None:
    clips = np.stack([np.stack([picture(0), picture(1)]), np.stack([picture(2), picture(3)])])
    noisy = np.clip(clips.astype(int) + 9, 0, 255).astype(np.uint8)
    each = [ssim(clips[m, f], noisy[m, f]) for m, f in np.ndindex(2, 2)]
    assert ssim(clips, noisy) == pytest.approx(np.mean(each))
    assert ssim(picture(0, 4, 4), picture(0, 4, 4)) == pytest.approx(1)
