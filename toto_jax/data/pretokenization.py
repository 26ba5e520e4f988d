"""Media -> token shards, as a job of any number of workers, each of which can be killed and started again.

A unit of work is `files_per_shard` inputs of one kind in one split, and makes one shard. What is in it depends on its
own inputs, the settings and the seed alone, so a job that was interrupted, or done by many, ends with the same bytes as
one that was not.
"""

import contextlib
import pathlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

from toto_jax.data.claims import Claims
from toto_jax.data.clips import ClipsConfig
from toto_jax.data.config import DataConfig
from toto_jax.data.job import Job
from toto_jax.data.manifest import record_format
from toto_jax.data.media import MediaItem, in_class_order, split
from toto_jax.data.shard_writer import storage_errors
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
    data: DataConfig,
    clips: ClipsConfig,
    spec: TokenizerSpec,
    out: pathlib.Path,
    seed: int,
    listed: bool,
    shared: bool = False,
) -> Job:
    """Lists the inputs of a job and parts them into units.

    Args:
      data: `config.data`: where the media are and how they lie.
      clips: how clips are cut and shards are filled.
      spec: of the tokenizer.
      out: gets a folder for each split.
      seed: of the random starts, crops and orders.
      listed: whether to take the inputs as another worker has listed them.
      shared: whether to take them so if one has, and to list them for all others if none has; waits while one does.

    Raises:
      ConfigError: if a frame isn't a whole number of codes, codes don't fit a record, or the seed is below 0.
      DataError: if there are no media (or nobody has listed them), or `out` holds shards made otherwise.
      StorageError: if `out` can't be written.
    """
    if seed < 0:
        raise ConfigError(f"config.seed must be 0 or more, not {seed}")
    record_format(spec, clips.size, clips.frames)  # stops here, before any work, if it can't be
    if not listed and not shared:
        # One alone lists them again: it looks whether they have changed.
        inputs, settings = _list_inputs(data, clips, spec, seed)
        with _listing(out, shared):
            _begin(out, inputs, settings, seed)
    else:
        if not listed:
            with _listing(out, shared) as first:
                if first:
                    _begin(out, *_list_inputs(data, clips, spec, seed), seed)
        settings = {name: begun_settings(out / name, data, clips, spec, seed) for name in SPLITS}
    plans = {name: plan_units(out / name, settings[name], clips.files_per_shard) for name in SPLITS}
    return Job(out, spec, clips, seed, settings, plans)


def is_begun(out: pathlib.Path) -> bool:
    """Returns whether a worker has listed the inputs of the job in this folder."""
    return all((out / name / SETTINGS).exists() for name in SPLITS)


@contextlib.contextmanager
def _listing(out: pathlib.Path, shared: bool) -> Iterator[bool]:
    """Keeps all others from listing inputs in this folder, and gives whether it is this worker's to do.

    Of workers that share a job the first does so. Waits while another one, of whatever job, is at it.
    """
    with contextlib.closing(Claims()) as claims:
        while not (shared and is_begun(out)):
            with storage_errors(out):
                taken = claims.take(out, INPUTS)
            if taken:
                yield not (shared and is_begun(out))
                return
            time.sleep(_POLL_SECONDS)
        yield False


def _list_inputs(
    data: DataConfig, clips: ClipsConfig, spec: TokenizerSpec, seed: int
) -> tuple[dict[str, list[MediaItem]], dict[str, dict[str, Any]]]:
    """Returns the inputs of each split and its settings."""
    splits = split(list_media(data, clips.synthetic_clips), clips.validation_percent)
    class_names = in_class_order(item.label for items in splits.values() for item in items)
    settings = {
        name: split_settings(items, data, class_names, clips, spec, seed) for name, items in splits.items()
    }
    return splits, settings


def _begin(
    out: pathlib.Path,
    inputs: Mapping[str, list[MediaItem]],
    settings: Mapping[str, dict[str, Any]],
    seed: int,
) -> None:
    """Writes down the inputs and settings of each split, if the folder is new or theirs."""
    for name in SPLITS:
        check_settings(out / name, settings[name])
    for name in SPLITS:
        write_inputs(out / name, inputs[name], seed)
        write_settings(out / name, settings[name])
