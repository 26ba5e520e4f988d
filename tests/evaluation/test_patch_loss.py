import pathlib

import jax
import numpy as np
import pytest

from tests.evaluation.patch_context import SIDE, make_patch_context
from tests.models.test_patches import cut
from toto_jax.evaluation.patch_loss import PatchLoss
from toto_jax.evaluation.results import Curve
from toto_jax.evaluation.validation_loss import ValidationLoss, ValidationLossConfig

CONFIG = ValidationLossConfig(clips=100, baseline_clips=200, batch_size=8)


def normalised(pixels: np.ndarray) -> np.ndarray:
    """Patches (clips, frames, patches of a frame, values), in NumPy."""
    patches = cut(pixels, SIDE)
    spread = np.sqrt(patches.var(-1, ddof=1, keepdims=True) + 1e-6)
    return ((patches - patches.mean(-1, keepdims=True)) / spread).reshape(len(pixels), 4, 4, -1)


def test_the_error_and_what_it_has_to_beat(tmp_path: pathlib.Path) -> None:
    """Held-out clips in batches of 8 leave a part of a batch; both baselines against a least-squares fit in NumPy."""
    context = make_patch_context(tmp_path)
    params = context.task.init(jax.random.key(0))
    results = dict(PatchLoss(CONFIG, context).run(params))
    splits = context.splits["toy"]
    (train, _), (held_out, numbers) = splits["train"].read(200), splits["validation"].read(100)
    assert len(numbers) % 8
    errors = np.asarray(context.task.position_loss(params, splits["validation"].batch(numbers)))
    assert results["loss"] == pytest.approx(errors.mean(), rel=1e-5)
    assert results["last_frame_loss"] == pytest.approx(errors[:, -4:].mean(), rel=1e-5)
    before, after = normalised(train)[:, :-1].reshape(-1, 1), normalised(train)[:, 1:].reshape(-1)
    factor = np.linalg.lstsq(before, after, rcond=None)[0][0]
    wanted = normalised(held_out)
    copied = np.concatenate([wanted[:, :1], wanted[:, 1:] - factor * wanted[:, :-1]], axis=1)
    assert results["zero_loss"] == pytest.approx((wanted**2).mean(), rel=1e-4)
    assert results["copy_last_frame_loss"] == pytest.approx((copied**2).mean(), rel=1e-4)
    assert results["copy_last_frame_loss"] < results["zero_loss"]
    assert results["percent_below_copy"] == pytest.approx(
        100 * (1 - results["loss"] / (copied**2).mean()), rel=1e-3
    )
    by_frame = results["loss_by_frame"]
    assert isinstance(by_frame, Curve)
    np.testing.assert_allclose(by_frame.series["copy the last frame"], (copied**2).mean((0, 2, 3)), rtol=1e-4)


def test_codes_of_patches_have_a_tokens_evaluation(tmp_path: pathlib.Path) -> None:
    context = make_patch_context(tmp_path, codes=True)
    params = context.task.init(jax.random.key(0))
    results = dict(ValidationLoss(CONFIG, context).run(params))
    split = context.splits["toy"]["validation"]
    codes, numbers = split.codes.read(100)
    batch = split.batch(numbers)
    np.testing.assert_array_equal(batch["ids"][:, 1:-1] - 4, codes.reshape(len(codes), -1))
    assert results["loss"] == pytest.approx(float(context.task.position_loss(params, batch).mean()), rel=1e-5)
    assert 0 < results["copy_last_frame_loss"] < results["unigram_loss"]
