"""Squared error of held-out patches: in total, by frame and by position, beside what a model has to beat.

Shapes: M clips, B clips at once, N patches of a clip, F frames, n patches of a frame, P values of a patch.
"""

import functools
from collections.abc import Iterator

import jax
import numpy as np

from toto_jax.analysis.patch_baselines import CopyFit, copy_error, zero_error
from toto_jax.analysis.position_loss import by_frame, by_position
from toto_jax.evaluation.context import EvaluationContext, Split
from toto_jax.evaluation.held_out import batches_of, each_source, loss_by_clip
from toto_jax.evaluation.results import Curve, Result
from toto_jax.evaluation.validation_loss import ValidationLossConfig
from toto_jax.models.patches import normalise, patchify
from toto_jax.tasks.patches import PatchToPatch
from toto_jax.tree import Params


class PatchLoss:
    """Mean squared error of held-out patches, in units of each patch's own variance."""

    def __init__(self, config: ValidationLossConfig, context: EvaluationContext):
        assert isinstance(context.task, PatchToPatch)
        self._config = config
        self._context = context
        self._side = context.task.config.side
        self._error = jax.jit(context.task.position_loss)

    def run(self, params: Params) -> Iterator[tuple[str, Result]]:
        """Yields for each source the error, the baselines, how far the error lies below them, and curves."""
        return each_source(self._context.splits, functools.partial(self._source, params))

    def _source(self, params: Params, train: Split, held_out: Split) -> Iterator[tuple[str, Result]]:
        config, geometry = self._config, self._context.geometry
        numbers = held_out.numbers(config.clips)
        error_MN = loss_by_clip(self._error, params, held_out, numbers, config.batch_size, self._context.mesh)
        zero_F, copy_F = self._baselines(train, held_out, numbers)
        loss, zero, copied = float(error_MN.mean()), float(zero_F.mean()), float(copy_F.mean())
        yield "loss", loss
        yield "zero_loss", zero
        yield "copy_last_frame_loss", copied
        yield "percent_below_zero", 100 * (1 - loss / zero)
        yield "percent_below_copy", 100 * (1 - loss / copied)
        frames = by_frame(error_MN, geometry.frames)
        yield "first_frame_loss", float(frames.mean[0])
        yield "last_frame_loss", float(frames.mean[-1])
        yield (
            "loss_by_frame",
            Curve(
                np.arange(1, geometry.frames + 1),
                {"this model": frames.mean, "copy the last frame": copy_F, "patches of no contrast": zero_F},
                "frame",
                "squared error",
                f"Error by frame on {len(numbers)} held-out clips: later frames are easier, as the past explains them.",
            ),
        )
        yield (
            "loss_by_position",
            Curve(
                np.arange(geometry.codes),
                {"this model": by_position(error_MN).mean},
                "position in the clip",
                "squared error",
                "Error by position: steps at frames, a saw-tooth along rows.",
            ),
        )

    def _baselines(self, train: Split, held_out: Split, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns (error of zeros, error of copying the last frame) of each frame."""
        fit = CopyFit()
        for patches_BFnP in self._targets(train, train.numbers(self._config.baseline_clips)):
            fit.add(patches_BFnP)
        errors = [
            (zero_error(patches_BFnP), copy_error(patches_BFnP, fit.factor))
            for patches_BFnP in self._targets(held_out, numbers)
        ]
        zero_F, copy_F = (np.concatenate(parts).mean(axis=0) for parts in zip(*errors, strict=True))
        return zero_F, copy_F

    def _targets(self, split: Split, numbers: np.ndarray) -> Iterator[np.ndarray]:
        """Yields normalised patches_BFnP of these clips."""
        size = self._config.batch_size
        for start, rows in zip(range(0, len(numbers), size), batches_of(numbers, size), strict=True):
            patches_BNP = np.asarray(_targets(split.batch(rows)["pixels"], self._side))
            clips, _, values = patches_BNP.shape
            whole = patches_BNP.reshape(clips, self._context.geometry.frames, -1, values)
            yield whole[: len(numbers) - start]


@jax.jit(static_argnums=1)
def _targets(pixels_BFHWC: jax.Array, side: int) -> jax.Array:
    return normalise(patchify(pixels_BFHWC, side))
