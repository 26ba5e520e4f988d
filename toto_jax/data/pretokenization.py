"""Media -> token shards, as a job of any number of workers, each of which can be killed and started again.

A unit of work is `files_per_shard` inputs of one kind in one split, and makes one shard. What is in it depends on its
own inputs, the settings and the seed alone, so a job that was interrupted, or done by many, ends with the same bytes as
one that was not.
"""

import pathlib
import time
from typing import Any

from toto_jax.data.claims import Claims
from toto_jax.data.clips import ClipsConfig
from toto_jax.data.config import DataConfig
from toto_jax.data.job import Job
from toto_jax.data.manifest import record_format
from toto_jax.data.media import in_class_order, split
from toto_jax.data.sources.registry import list_media
from toto_jax.data.work_plan import (
    INPUTS,
    SETTINGS,
    begun_settings,
    check_settings,
    plan_units,
    split_settings,
    write_inputs,
    write_settings,
)
from toto_jax.errors import ConfigError
from toto_jax.tokenizers.base import TokenizerSpec

SPLITS = ("train", "validation")
_POLL_SECONDS = 0.2


def open_job(
    data: DataConfig, clips: ClipsConfig, spec: TokenizerSpec, out: pathlib.Path, seed: int, listed: bool
) -> Job:
    """Lists the inputs of a job and parts them into units.

    Args:
      data: `config.data`: where the media are and how they lie.
      clips: how clips are cut and shards are filled.
      spec: of the tokenizer.
      out: gets a folder for each split.
      seed: of the random starts, crops and orders.
      listed: whether to take the inputs as another worker has listed them.

    Raises:
      ConfigError: if a frame isn't a whole number of codes, codes don't fit a record, or the seed is below 0.
      DataError: if there are no media (or nobody has listed them), or `out` holds shards made otherwise.
    """
    if seed < 0:
        raise ConfigError(f"config.seed must be 0 or more, not {seed}")
    record_format(spec, clips.size, clips.frames)  # stops here, before any work, if it can't be
    if listed:
        settings = {name: begun_settings(out / name, data, clips, spec, seed) for name in SPLITS}
    else:
        settings = _list_inputs(data, clips, spec, out, seed)
    plans = {name: plan_units(out / name, settings[name], clips.files_per_shard) for name in SPLITS}
    return Job(out, spec, clips, seed, settings, plans)


def is_begun(out: pathlib.Path) -> bool:
    """Returns whether a worker has listed the inputs of the job in this folder."""
    return all((out / name / SETTINGS).exists() for name in SPLITS)


def is_first_lister(out: pathlib.Path, claims: Claims) -> bool:
    """Returns whether this worker of several is to list the inputs; waits while another one does."""
    while not is_begun(out):
        if claims.take(out, INPUTS):
            if not is_begun(out):
                return True
            claims.release(out, INPUTS)
        else:
            time.sleep(_POLL_SECONDS)
    return False


def _list_inputs(
    data: DataConfig, clips: ClipsConfig, spec: TokenizerSpec, out: pathlib.Path, seed: int
) -> dict[str, dict[str, Any]]:
    """Writes down the inputs of each split, and returns their settings."""
    splits = split(list_media(data, clips.synthetic_clips), clips.validation_percent)
    class_names = in_class_order(item.label for items in splits.values() for item in items)
    settings = {
        name: split_settings(items, data, class_names, clips, spec, seed) for name, items in splits.items()
    }
    for name in SPLITS:
        check_settings(out / name, settings[name])
    for name in SPLITS:
        write_inputs(out / name, splits[name], seed)
        write_settings(out / name, settings[name])
    return settings
