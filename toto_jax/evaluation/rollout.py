"""Held-out clips continued: the first frames are given, the model dreams the rest, the tokenizer paints it.

Shapes: B clips, F frames, h x w codes, H x W pixels, C colours.
"""

import dataclasses
from collections.abc import Iterator

import jax
import numpy as np

from toto_jax.errors import ConfigError
from toto_jax.evaluation.context import EvaluationContext
from toto_jax.evaluation.image_quality import psnr
from toto_jax.evaluation.pictures import Strip, contact_sheet, side_by_side
from toto_jax.evaluation.results import Animation, Picture, Result
from toto_jax.generation.rollout import continue_frames
from toto_jax.generation.sampling import SamplerConfig
from toto_jax.tasks.next_token import NextToken
from toto_jax.tree import Params


@dataclasses.dataclass(frozen=True)
class RolloutConfig:
    """Attributes:
    clips: how many held-out clips are continued.
    prompt_frames: given frames of each.
    frames: frames of each in the end, prompt included; more than a clip has slide the window.
    temperature, top_k, top_p: of sampling; 0, 0 and 1.0 turn them off.
    frames_per_second: of the animation.
    """

    clips: int
    prompt_frames: int
    frames: int
    temperature: float
    top_k: int
    top_p: float
    frames_per_second: float


class Rollout:
    """Continues held-out clips and shows them beside the truth."""

    def __init__(self, config: RolloutConfig, context: EvaluationContext):
        if not 0 < config.prompt_frames < config.frames:
            raise ConfigError(
                f"A rollout needs 0 < prompt_frames < frames, got {config.prompt_frames} and {config.frames}"
            )
        self._config = config
        self._context = context
        self._sampler = SamplerConfig(config.temperature, config.top_k, config.top_p)

    def run(self, params: Params) -> Iterator[tuple[str, Result]]:
        """Yields an animation, a contact sheet, and how much moves: the share of codes that change between frames.

        Nothing is yielded where there are only images.
        """
        config, context = self._config, self._context
        held_out = context.only_source()["validation"]
        if all(record.kind != "video" for record in held_out.index):
            return
        task = context.task
        assert isinstance(task, NextToken)
        tokenizer = context.load_tokenizer()
        truth_BFhw, _ = held_out.read(config.clips, "video")
        truth_BFhw = truth_BFhw.astype(np.int32)
        prompt_BFhw = truth_BFhw[:, : config.prompt_frames]
        new_BFhw = continue_frames(
            task.decoder,
            params,
            prompt_BFhw,
            config.frames - config.prompt_frames,
            context.geometry,
            self._sampler,
            jax.random.key(context.seed),
            vocabularies=tokenizer.spec.vocabularies,
        )
        dream_BFhw = np.concatenate([prompt_BFhw, np.asarray(new_BFhw)], axis=1)
        truth, dream = tokenizer.decode(truth_BFhw), tokenizer.decode(dream_BFhw)
        first, last = config.prompt_frames, min(config.frames, truth.shape[1])
        yield "percent_codes_changing", 100 * _changing(dream_BFhw[:, first - 1 :])
        yield "percent_codes_changing_in_truth", 100 * _changing(truth_BFhw[:, first - 1 :])
        still = np.repeat(truth[:, first - 1 : first], last - first, axis=1)
        yield "psnr_db", psnr(truth[:, first:last], dream[:, first:last])
        yield "psnr_db_of_last_frame_held", psnr(truth[:, first:last], still)
        caption = (
            f"{len(truth)} held-out clips: the first {first} frames are given (grey), the rest is sampled code by code "
            f"(temperature {config.temperature:g}, top-k {config.top_k}, top-p {config.top_p:g}) and decoded."
        )
        scale = max(1, 96 // truth.shape[2])
        shown = np.repeat(truth[:, -1:], max(config.frames - truth.shape[1], 0), axis=1)
        held = np.concatenate([truth[:, : config.frames], shown], axis=1)
        columns = [
            side_by_side(
                [
                    Strip("truth", np.concatenate([held[number], held[number, -1:]])),
                    Strip("Toto", np.concatenate([dream[number], dream[number, -1:]]), config.prompt_frames),
                ],
                scale,
            )
            for number in range(len(truth))
        ]
        yield "continuations", Animation(_grid(columns), config.frames_per_second, caption)
        rows = [
            strip
            for number in range(len(truth))
            for strip in (
                Strip(f"truth {number + 1}", truth[number]),
                Strip(f"Toto {number + 1}", dream[number], config.prompt_frames),
            )
        ]
        yield "contact_sheet", Picture(contact_sheet(rows, scale), caption)


def _grid(animations: list[np.ndarray]) -> np.ndarray:
    """Lays animations of one size out in two columns; a missing last one is left blank."""
    if len(animations) % 2 and len(animations) > 1:
        animations = [*animations, np.full_like(animations[0], 250)]
    columns = min(len(animations), 2)
    rows = [np.concatenate(animations[i : i + columns], axis=2) for i in range(0, len(animations), columns)]
    return np.concatenate(rows, axis=1)


def _changing(codes_BFhw: np.ndarray) -> float:
    """Returns the share of codes that differ from the code at the same place one frame before."""
    return float((codes_BFhw[:, 1:] != codes_BFhw[:, :-1]).mean())
