"""Turns videos and images into token shards, or pixel shards if config.tokenizer.kind is "pixels", or the task's both.

  python -m toto_jax.pretokenize --config=configs/quickstart.py --workdir=runs/quickstart

Killed and run again, it goes on where it stopped and ends with the same bytes. Any number of workers may run it at once
on one folder, on any number of machines: as processes of a pod or a Slurm step, which is found out, or as an array of
jobs, each with its own --shard=i/n. A worker that has done its share goes on with what is left of the others'; the last
one writes the manifest. --verify reads everything that is written once more, --merge writes the manifest by itself.
"""

import os
import pathlib

import jax
from absl import flags
from ml_collections import config_flags

from toto_jax.command_line import run_command
from toto_jax.data.timeline import Timeline
from toto_jax.data.worker import Share
from toto_jax.settings import parse
from toto_jax.shard_job import (
    describe_shards,
    describe_work,
    load_shard_tokenizer,
    open_shard_job,
    parse_share,
)
from toto_jax.sharding.processes import find_place, join_job, may_be_tpu_vm

_CONFIG = config_flags.DEFINE_config_file("config", None, "Config file; override with --config.key=value.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run; shards go to <workdir>/shards.")
_SHARD = flags.DEFINE_string("shard", None, "i/n: this is worker i (from 0) of n, which share the folder.")
_VERIFY = flags.DEFINE_bool("verify", False, "Read what is written against its checksums, and write nothing.")
_MERGE = flags.DEFINE_bool("merge", False, "Only write the manifest, if all units are complete.")
_TRACE = flags.DEFINE_string("trace", None, "File for who did what when; ui.perfetto.dev shows it.")
_JOIN_SECONDS = flags.DEFINE_float("join_seconds", 300.0, "How long to wait for the job's other processes.")
flags.mark_flags_as_required(["config", "workdir"])


def write_shards() -> None:
    """Does what the flags say, and says what came of it."""
    settings, workdir = parse(_CONFIG.value), pathlib.Path(_WORKDIR.value)
    finished = _VERIFY.value or _MERGE.value
    share = parse_share(_SHARD.value) if _SHARD.value else Share(0, 1) if finished else _process()
    timeline = Timeline(keep=_TRACE.value is not None)
    for what in settings.shard_folders(workdir):
        job = open_shard_job(settings, workdir, what, listed=finished, shared=share.count > 1)
        if _VERIFY.value:
            print("{} of {} units are written, and hold what was written".format(*job.verify()))
        if not finished:
            tokenizer = load_shard_tokenizer(settings, workdir, what)
            worker = job.work(tokenizer, settings.decoding, share, timeline)
            print(describe_work(worker.clips_written, timeline))
            print(describe_shards(job, job.close(worker.complete)))
        if _MERGE.value:
            print(describe_shards(job, job.close()))
    if _TRACE.value:
        timeline.write(pathlib.Path(_TRACE.value))


def _process() -> Share:
    # Processes that have joined end together, and workers need not; a TPU pod's chips want it all the same.
    place = None if may_be_tpu_vm() else find_place(os.environ)
    if place is not None:
        return Share(place.index, place.count)
    join_job(_JOIN_SECONDS.value)
    return Share(jax.process_index(), jax.process_count())


if __name__ == "__main__":
    run_command(write_shards)
