"""A sweep at a size for tests: patches in miniature at two learning rates, on shards that the members share.

The variant is the folder of the prepared shards.
"""

import pathlib
from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from configs import patches


def get_config(variant: str = "") -> ConfigDict:
    c = patches.get_config("small_patch")
    c.data.shards = variant
    c.data.media = "synthetic"
    c.clips.synthetic_clips = 40
    c.clips.files_per_shard = 16
    c.clips.size = 16
    c.clips.frames = 2
    c.model.layers = 1
    c.model.d_model = 16
    c.model.heads = c.model.kv_heads = 2
    c.model.head_dim = 8
    c.model.d_ff = 32
    c.optimizer.warmup_steps = 1
    c.train.steps = 4
    c.train.batch_size = 8
    c.train.log_every = 1
    c.checkpoint.every = 2
    c.evals = ConfigDict()
    c.report = False
    return c


def members(variant: str, workdir: pathlib.Path) -> Iterator[tuple[str, dict[str, Any]]]:
    del variant, workdir
    for rate in (1e-3, 4e-3):
        yield f"lr{rate:g}", {"optimizer.learning_rate": rate}


def prepare(variant: str, workdir: pathlib.Path) -> list[list[str]]:
    shards = pathlib.Path(variant)
    assert shards.name == "shards"
    config = f"--config=tests/launch/tiny_sweep.py:{variant}"
    return [["python", "-m", "toto_jax.pretokenize", config, f"--workdir={workdir / 'prepared'}"]]
