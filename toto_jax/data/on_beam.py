"""The units of `toto_jax.pretokenize` on an Apache Beam engine: here, or on Dataflow, Flink or Spark.

  python -m toto_jax.data.on_beam --config=configs/pretokenize/howto100m.py --workdir=... -- --runner=DirectRunner

What stands behind the two dashes is Beam's own. Each worker needs this package (`pip install 'toto_jax[train,beam]'`)
and the folders of media and of the run under the same paths. Pixel shards (--config.tokenizer.kind=pixels) need no
accelerator. Workers of `toto_jax.pretokenize` may take part, and either may go on where the other stopped.
"""

import pathlib

from absl import flags
from ml_collections import config_flags

from toto_jax.command_line import run_command
from toto_jax.config import to_json
from toto_jax.errors import require
from toto_jax.settings import parse
from toto_jax.shard_job import describe_shards, open_shard_job, write_unit

_CONFIG = config_flags.DEFINE_config_file("config", None, "Config file; override with --config.key=value.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run; shards go to <workdir>/shards.")
flags.mark_flags_as_required(["config", "workdir"])


def write_shards(words: list[str]) -> None:
    """Writes the shards that the config describes, on the engine that the words name."""
    beam = require("apache_beam", "beam")
    options = require("apache_beam.options.pipeline_options", "beam").PipelineOptions(words)
    settings, workdir = parse(_CONFIG.value), pathlib.Path(_WORKDIR.value)
    for what in settings.shard_folders(workdir):
        job = open_shard_job(settings, workdir, what, listed=False)
        with beam.Pipeline(options=options) as pipeline:
            (
                pipeline
                | "units" >> beam.Create(range(len(job.units)))
                | "apart" >> beam.Reshuffle()  # else an engine may give all units to one worker
                | "write" >> beam.Map(write_unit, what, to_json(_CONFIG.value), _WORKDIR.value)
            )
        print(describe_shards(job, job.close()))


if __name__ == "__main__":
    run_command(write_shards)
