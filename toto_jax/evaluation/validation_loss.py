"""Validation loss: in total, by frame and by position (the paper's Figure 10), beside what a model has to beat.

Shapes: M clips, N codes of a clip, F frames, h x w codes of a frame.
"""

import dataclasses
import functools
from collections.abc import Iterator

import jax
import numpy as np

from toto_jax.analysis.baselines import fit_baselines
from toto_jax.analysis.position_loss import by_frame, by_position
from toto_jax.evaluation.context import EvaluationContext, Split
from toto_jax.evaluation.held_out import each_source, loss_by_clip
from toto_jax.evaluation.results import Curve, Result
from toto_jax.tasks.sequence import SequenceTask
from toto_jax.tree import Params


@dataclasses.dataclass(frozen=True)
class ValidationLossConfig:
    """Attributes:
    clips: held-out clips of each source, at most.
    baseline_clips: training clips that the baselines' statistics are taken from, at most.
    batch_size: clips at once.
    """

    clips: int
    baseline_clips: int
    batch_size: int


class ValidationLoss:
    """Negative log-likelihood of held-out codes, in nats per code."""

    def __init__(self, config: ValidationLossConfig, context: EvaluationContext):
        self._config = config
        self._context = context
        task: SequenceTask = context.task
        self._nll = jax.jit(task.position_loss)

    def run(self, params: Params) -> Iterator[tuple[str, Result]]:
        """Yields for each source the loss, the baselines, how far the loss lies below them, and curves."""
        return each_source(self._context.splits, functools.partial(self._source, params))

    def _source(self, params: Params, train: Split, held_out: Split) -> Iterator[tuple[str, Result]]:
        config, geometry = self._config, self._context.geometry
        codes_MFhw, numbers = held_out.codes.read(config.clips)
        nll_MN = loss_by_clip(self._nll, params, held_out, numbers, config.batch_size, self._context.mesh)
        train_codes, _ = train.codes.read(config.baseline_clips)
        baselines = fit_baselines(train_codes, self._context.codebook_size)
        unigram, copy_F = baselines.unigram_loss(codes_MFhw), baselines.copy_loss_by_frame(codes_MFhw)
        loss, copied = float(nll_MN.mean()), float(copy_F.mean())
        yield "loss", loss
        yield "unigram_loss", unigram
        yield "copy_last_frame_loss", copied
        yield "percent_below_unigram", 100 * (1 - loss / unigram)
        yield "percent_below_copy", 100 * (1 - loss / copied)
        frames = by_frame(nll_MN, geometry.frames)
        yield "first_frame_loss", float(frames.mean[0])
        yield "last_frame_loss", float(frames.mean[-1])
        yield (
            "loss_by_frame",
            Curve(
                np.arange(1, geometry.frames + 1),
                {
                    "Toto": frames.mean,
                    "copy the last frame": copy_F,
                    "code frequencies": np.full(geometry.frames, unigram),
                },
                "frame",
                "nats per code",
                f"Loss by frame on {len(numbers)} held-out clips: later frames are cheaper, as the past explains them.",
            ),
        )
        yield (
            "loss_by_position",
            Curve(
                np.arange(geometry.codes),
                {"Toto": by_position(nll_MN).mean},
                "position in the clip",
                "nats per code",
                "Loss by position (the paper's Figure 10): steps at frames, a saw-tooth along rows.",
            ),
        )
