import pathlib

import jax
import numpy as np
import pytest

from tests.evaluation.toy_context import CODEBOOK, make_context
from toto_jax.evaluation.results import Curve
from toto_jax.evaluation.validation_loss import ValidationLoss, ValidationLossConfig

CONFIG = ValidationLossConfig(clips=33, baseline_clips=64, batch_size=8)


def test_the_loss_is_that_of_the_probabilities_written_out(tmp_path: pathlib.Path) -> None:
    """Against a float64 softmax in NumPy over the decoder's logits; 33 clips in batches of 8 leave a part of a
    batch."""
    context = make_context(tmp_path)
    params = context.task.init(jax.random.key(0))
    results = dict(ValidationLoss(CONFIG, context).run(params))
    codes, _ = context.splits["toy"]["validation"].read(33)
    ids = np.concatenate([np.ones((33, 1)), codes.reshape(33, -1) + 4], axis=1).astype(np.int32)
    logits = np.asarray(context.task.decoder.apply(params, ids[:, :-1]).logits_BTV, np.float64)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    nll = -np.take_along_axis(log_p, ids[:, 1:, None], axis=2)[..., 0]
    assert results["loss"] == pytest.approx(nll.mean(), rel=1e-5)
    by_position = results["loss_by_position"]
    assert isinstance(by_position, Curve)
    np.testing.assert_allclose(by_position.series["Toto"], nll.mean(0), rtol=1e-4)
    assert results["last_frame_loss"] == pytest.approx(nll[:, -4:].mean(), rel=1e-5)


def test_the_percentages_are_against_the_baselines(tmp_path: pathlib.Path) -> None:
    context = make_context(tmp_path)
    results = dict(ValidationLoss(CONFIG, context).run(context.task.init(jax.random.key(0))))
    # Codes are uniform; half of the clips stand still, half change everywhere.
    assert results["unigram_loss"] == pytest.approx(np.log(CODEBOOK), rel=0.03)
    copied = np.log(2) + 0.5 * np.log(CODEBOOK)
    assert results["copy_last_frame_loss"] == pytest.approx((np.log(CODEBOOK) + 3 * copied) / 4, rel=0.05)
    wanted = 100 * (1 - results["loss"] / results["unigram_loss"])
    assert results["percent_below_unigram"] == pytest.approx(wanted)


def test_eight_devices_measure_what_one_does(tmp_path: pathlib.Path) -> None:
    one, eight = make_context(tmp_path / "1"), make_context(tmp_path / "8", devices=8)
    params = one.task.init(jax.random.key(0))
    losses = [dict(ValidationLoss(CONFIG, context).run(params))["loss"] for context in (one, eight)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
