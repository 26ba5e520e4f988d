"""Continuation of videos, frame by frame, past the length of the context.

Shapes: B clips, F frames, h x w codes of a frame, T prompt tokens.
"""

import jax
import numpy as np

from toto_jax.errors import ConfigError, DataError
from toto_jax.generation.decode import generate
from toto_jax.generation.sampling import SamplerConfig
from toto_jax.models.decoder import Decoder
from toto_jax.sharding.agreement import fetch
from toto_jax.tree import Params
from toto_jax.video import FIRST_CODE, VIDEO_START, ClipGeometry


def continue_frames(
    decoder: Decoder,
    params: Params,
    codes_BFhw: np.ndarray,
    frames: int,
    geometry: ClipGeometry,
    sampler: SamplerConfig,
    key: jax.Array,
    *,
    vocabularies: tuple[int, ...],
    stride: int = 1,
) -> np.ndarray:
    """Continues clips by whole frames (the paper prompts with 16 and rolls out to 64).

    The prompt is read as a video that starts with it, and new frames are drawn until the context of
    `geometry.frames` is full. From there a window slides: the latest `geometry.frames - stride` frames are
    read again as the start of a video, `stride` new ones are drawn, and so on. All these windows are of one
    shape, so they are compiled once.

    Args:
      decoder: the transformer.
      params: its parameters.
      codes_BFhw: the prompt, at most `geometry.frames`, codes 0..codebook_size-1. No frames at all is a
        prompt too: the start of any video.
      frames: how many new ones to draw.
      geometry: of the clips that the decoder was trained on.
      sampler: how codes are drawn.
      key: a random key.
      vocabularies: of the codes that stand side by side at a position (`TokenizerSpec.vocabularies`), mostly one. Only
        their codes are drawn, each in its place, never special tokens or the vocabulary's padding.
      stride: new frames to one window. 1 sees the most context; more reads less of it again.

    Returns:
      The new codes_B(frames)hw, int32.

    Raises:
      ConfigError: if the prompt is longer than the context, or `frames` or `stride` is out of range.
      DataError: if the prompt's grid is not the geometry's or a code is not in the codebook.
    """
    codes_BFhw = np.asarray(codes_BFhw)
    _check_prompt(codes_BFhw, geometry, sum(vocabularies))
    if frames < 1:
        raise ConfigError(f"frames must be 1 or more new ones, got {frames}")
    if not 1 <= stride < geometry.frames:
        raise ConfigError(
            f"A window of {geometry.frames} frame(s) can't move on by stride={stride}: "
            "at least one frame must be kept and one drawn"
        )
    ends = [FIRST_CODE + sum(vocabularies[: part + 1]) for part in range(len(vocabularies))]
    allowed = tuple((end - size, end) for end, size in zip(ends, vocabularies, strict=True))
    video_BFhw = codes_BFhw.astype(np.int32)
    wanted = video_BFhw.shape[1] + frames
    while (have := video_BFhw.shape[1]) < wanted:
        if have < geometry.frames:
            kept, new = have, min(geometry.frames, wanted) - have
        else:
            kept, new = geometry.frames - stride, stride
        ids_BN = generate(
            decoder,
            params,
            _start_of_video(video_BFhw[:, have - kept :]),
            new * geometry.tokens_per_frame,
            sampler,
            jax.random.fold_in(key, have),
            allowed,
        )
        video_BFhw = np.concatenate((video_BFhw, geometry.grid(fetch(ids_BN) - FIRST_CODE)), axis=1)
    return video_BFhw[:, wanted - frames : wanted]


def _start_of_video(codes_BFhw: np.ndarray) -> np.ndarray:
    """Returns ids_BT: the start token and the frames' codes, and no end token."""
    start_B1 = np.full((codes_BFhw.shape[0], 1), VIDEO_START, np.int32)
    return np.concatenate((start_B1, codes_BFhw.reshape(codes_BFhw.shape[0], -1) + FIRST_CODE), axis=1)


def _check_prompt(codes_BFhw: np.ndarray, geometry: ClipGeometry, codebook_size: int) -> None:
    """Raises what `continue_frames` says of a prompt."""
    grid = (geometry.height, geometry.width)
    if codes_BFhw.ndim != 4 or codes_BFhw.shape[2:] != grid:
        raise DataError(
            f"Prompt codes of shape {codes_BFhw.shape} are not clips x frames x {grid[0]} x {grid[1]}, "
            "the grid that the decoder was trained on"
        )
    if codes_BFhw.shape[1] > geometry.frames:
        raise ConfigError(
            f"A prompt of {codes_BFhw.shape[1]} frames is longer than the context of {geometry.frames}; "
            f"give the latest {geometry.frames}"
        )
    if codes_BFhw.size and not 0 <= codes_BFhw.min() <= codes_BFhw.max() < codebook_size:
        raise DataError(
            f"Prompt codes reach from {codes_BFhw.min()} to {codes_BFhw.max()}; "
            f"the codebook has 0 to {codebook_size - 1}"
        )
