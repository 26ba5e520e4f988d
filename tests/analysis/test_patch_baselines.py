import numpy as np
import pytest

from toto_jax.analysis.patch_baselines import CopyFit, copy_error, zero_error

# One clip of three frames of one patch of two values: (1, -1), then twice that, then turned round.
CLIP = np.array([1, -1, 2, -2, -1, 1], np.float32).reshape(1, 3, 1, 2)


def test_errors_by_hand() -> None:
    np.testing.assert_allclose(zero_error(CLIP), [[1, 4, 1]])
    # Half of (1, -1) for (2, -2) leaves 1.5 squared; half of (2, -2) for (-1, 1) leaves 2 squared.
    np.testing.assert_allclose(copy_error(CLIP, 0.5), [[1, 2.25, 4]])


def test_the_factor_is_the_least_squares_one_over_all_batches() -> None:
    rng = np.random.default_rng(0)
    clips = rng.standard_normal((6, 4, 3, 5))
    clips[:, 1:] += 0.7 * clips[:, :-1]
    fit = CopyFit()
    fit.add(clips[:2])
    fit.add(clips[2:])
    wanted = np.linalg.lstsq(clips[:, :-1].reshape(-1, 1), clips[:, 1:].reshape(-1), rcond=None)[0][0]
    assert fit.factor == pytest.approx(wanted)
    errors = [copy_error(clips, fit.factor + change).mean() for change in (-0.01, 0, 0.01)]
    assert errors[1] == min(errors)


def test_without_a_second_frame_there_is_nothing_to_copy() -> None:
    fit = CopyFit()
    fit.add(CLIP[:, :1])
    assert fit.factor == 0
    np.testing.assert_array_equal(copy_error(CLIP[:, :1], fit.factor), zero_error(CLIP[:, :1]))
