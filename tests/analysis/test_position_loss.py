import math

import numpy as np
import pytest

from toto_jax.analysis.position_loss import by_frame, by_position


def test_by_position_by_hand():
    result = by_position(np.array([[1.0, 5.0], [3.0, 5.0], [8.0, 5.0]]))
    np.testing.assert_allclose(result.mean, [4, 5])
    # Squared deviations 9 + 1 + 16, over 3 - 1, then over the root of 3 clips.
    np.testing.assert_allclose(result.standard_error, [math.sqrt(26 / 2) / math.sqrt(3), 0])


def test_by_frame_takes_consecutive_positions():
    nll = np.arange(6.0)[None] + np.array([[0.0], [2.0]])
    result = by_frame(nll, frames=3)
    np.testing.assert_allclose(result.mean, [1.5, 3.5, 5.5])
    # Two clips 2 nats apart: sample deviation sqrt(2), over sqrt(2).
    np.testing.assert_allclose(result.standard_error, 1)


def test_codes_of_one_clip_are_not_independent_samples():
    rng = np.random.default_rng(0)
    clip_means = rng.normal(size=(400, 1))
    nll = np.repeat(clip_means, 64, axis=1)
    assert by_frame(nll, 1).standard_error[0] == pytest.approx(1 / math.sqrt(400), rel=0.1)


def test_one_clip_has_no_standard_error():
    result = by_frame(np.ones((1, 4)), 2)
    assert np.isnan(result.standard_error).all()
    np.testing.assert_array_equal(result.mean, [1, 1])


def test_half_precision_is_averaged_in_full():
    nll = np.full((10_000, 2), 3.001, np.float16)
    np.testing.assert_allclose(by_position(nll).mean, float(np.float16(3.001)))


def test_positions_that_do_not_divide_are_an_error():
    with pytest.raises(ValueError, match="10 code positions.*4 frames"):
        by_frame(np.ones((2, 10)), 4)
