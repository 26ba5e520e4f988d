import math

import numpy as np
import pytest
import scipy.optimize

from toto_jax.analysis.baselines import Baselines, entropy, fit_baselines
from toto_jax.errors import DataError


def test_unigram_loss_by_hand():
    train = np.array([0, 0, 0, 1]).reshape(1, 1, 2, 2)
    baselines = fit_baselines(train, codebook_size=4)
    # Counts 3, 1, 0, 0, each plus one, out of 8.
    np.testing.assert_allclose(np.exp(baselines.log_unigram_V), [4 / 8, 2 / 8, 1 / 8, 1 / 8])
    held_out = np.array([0, 3, 3, 1]).reshape(1, 1, 2, 2)
    expected = (math.log(2) + 2 * math.log(8) + math.log(4)) / 4
    assert baselines.unigram_loss(held_out) == pytest.approx(expected)


def test_entropy_by_hand():
    assert entropy(np.array([0, 0, 1, 2]), 8) == pytest.approx(1.5 * math.log(2))
    assert entropy(np.full(10, 7), 8) == 0


def test_independent_uniform_codes_cost_log_codebook_and_nothing_is_copied():
    rng = np.random.default_rng(0)
    train, held_out = rng.integers(0, 16, (2, 200, 4, 8, 8))
    baselines = fit_baselines(train, 16)
    assert baselines.unigram_loss(held_out) == pytest.approx(math.log(16), abs=1e-3)
    assert baselines.change > 0.98
    np.testing.assert_allclose(baselines.copy_loss_by_frame(held_out), math.log(16), atol=5e-3)


def test_constant_video_costs_only_its_first_frame():
    rng = np.random.default_rng(1)
    still = np.repeat(rng.integers(0, 64, (300, 1, 8, 8)), 6, axis=1)
    baselines = fit_baselines(still, 64)
    loss_F = baselines.copy_loss_by_frame(still)
    assert loss_F[0] == pytest.approx(math.log(64), abs=0.01)
    assert (loss_F[1:] < 1e-4).all()
    # One imagined change among the 300 * 5 * 64 codes that had one before them, of which 1 in 64 redraws the
    # same code.
    assert baselines.change == pytest.approx((1 / 96_001) / (1 - 1 / 64), rel=1e-3)
    moved = still.copy()
    moved[0, 3, 0, 0] ^= 1
    assert np.isfinite(baselines.copy_loss_by_frame(moved)).all()


@pytest.mark.parametrize("change", [0.05, 0.4, 0.9])
def test_recovers_a_planted_copy_probability(change):
    rng = np.random.default_rng(2)
    fresh = rng.choice(8, p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.05, 0.03, 0.02], size=(100, 10, 12, 12))
    codes = fresh.copy()
    for frame in range(1, 10):
        redrawn = rng.random(codes[:, 0].shape) < change
        codes[:, frame] = np.where(redrawn, fresh[:, frame], codes[:, frame - 1])
    assert fit_baselines(codes, 8).change == pytest.approx(change, abs=0.01)


def test_change_maximises_the_likelihood():
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 5, (6, 4, 3, 3))
    codes[:, 1:][rng.random((6, 3, 3, 3)) < 0.5] = 2
    unigram = (np.bincount(codes.ravel(), minlength=5) + 1) / (codes.size + 5)

    def negative_log_likelihood(change):
        total = -math.log(change)  # the imagined change
        for clip in codes:
            for before, after in zip(clip[:-1].ravel(), clip[1:].ravel(), strict=True):
                total -= math.log((1 - change) * (before == after) + change * unigram[after])
        return total

    best = scipy.optimize.minimize_scalar(negative_log_likelihood, bounds=(1e-6, 1), method="bounded")
    assert fit_baselines(codes, 5).change == pytest.approx(best.x, abs=1e-4)


def test_copy_loss_by_hand():
    baselines = Baselines(np.log([0.5, 0.25, 0.25]), change=0.2)
    codes = np.array([[0, 1], [0, 2]]).reshape(1, 2, 1, 2)
    expected = [(math.log(2) + math.log(4)) / 2, -(math.log(0.8 + 0.2 * 0.5) + math.log(0.2 * 0.25)) / 2]
    np.testing.assert_allclose(baselines.copy_loss_by_frame(codes), expected)


def test_copy_probabilities_sum_to_one():
    baselines = fit_baselines(np.random.default_rng(4).integers(0, 6, (5, 3, 4, 4)), 6)
    clips = np.stack([np.array([3, code]).reshape(2, 1, 1) for code in range(6)])
    second = [baselines.copy_loss_by_frame(clip[None])[1] for clip in clips]
    assert np.exp(-np.array(second)).sum() == pytest.approx(1)


def test_one_frame_is_left_to_the_unigram():
    codes = np.random.default_rng(5).integers(0, 6, (5, 1, 4, 4))
    baselines = fit_baselines(codes, 6)
    assert baselines.copy_loss_by_frame(codes)[0] == pytest.approx(baselines.unigram_loss(codes))


def test_works_on_small_unsigned_codes():
    codes = np.random.default_rng(6).integers(0, 200, (4, 3, 5, 5))
    small = codes.astype(np.uint16)
    same, expected = fit_baselines(small, 200), fit_baselines(codes, 200)
    np.testing.assert_array_equal(same.copy_loss_by_frame(small), expected.copy_loss_by_frame(codes))


def test_codes_outside_the_codebook_are_an_error():
    codes = np.full((1, 2, 2, 2), 9)
    with pytest.raises(DataError, match="9..9.*codebook of 8"):
        fit_baselines(codes, 8)
    baselines = fit_baselines(codes, 16)
    with pytest.raises(DataError, match="17"):
        baselines.copy_loss_by_frame(codes + 8)
    with pytest.raises(DataError, match="no codes"):
        fit_baselines(codes[:0], 16)
