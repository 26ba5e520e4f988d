"""Workdirs of runs that were never trained: real configs, logs and results, with losses that the test knows."""

import json
import pathlib
from collections.abc import Mapping

from configs import quickstart
from toto_jax.config import to_json
from toto_jax.evaluation.record import write_results

# Of a sequence of the quickstart at this size: 4 frames of 2 x 2 codes, after a start token.
TOKENS = 17
BATCH = 8


def write_run(
    workdir: pathlib.Path,
    width: int,
    layers: int,
    training: Mapping[int, float],
    held_out: Mapping[int, float],
    steps: int,
    rate: float = 1e-3,
    **changes: object,
) -> None:
    """Writes a run: step -> loss of training and of held-out clips; `changes` are further keys of its config."""
    c = quickstart.get_config()
    c.clips.size, c.clips.frames, c.tokenizer.codebook_size = 8, 4, 60
    c.model.d_model, c.model.layers, c.model.heads, c.model.kv_heads = width, layers, 1, 1
    c.model.head_dim, c.model.d_ff, c.model.vocabulary_multiple = width, 4 * width, 64
    c.train.steps, c.train.batch_size, c.optimizer.learning_rate = steps, BATCH, rate
    c.update_from_flattened_dict(changes)
    workdir.mkdir(parents=True)
    (workdir / "config.json").write_text(to_json(c))
    lines = [
        {"loss": 1.1 * loss, "code_loss": loss, "step": step, "kind": "train"}
        for step, loss in training.items()
    ]
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for step, loss in held_out.items():
        numbers = {"loss": loss, "unigram_loss": 9.0, "first_frame_loss": 8.0}
        write_results(workdir, "validation_loss", step, numbers.items())


def macs(width: int, layers: int) -> int:
    """Multiply-accumulates of a sequence, by hand: four matrices of attention and three of the feed-forward (4 wide),
    half of two products over the positions, and a head of 64."""
    token = layers * (4 * width**2 + 12 * width**2) + 64 * width + layers * width * TOKENS
    return TOKENS * token
