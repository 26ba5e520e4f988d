"""Launches the members of a sweep.

  python -m launch.sweep --sweep=configs/sweeps/mup_lr.py:small --backend=local --parallel=2 --workdir=runs/mup_lr

Overrides of the config that members start from are given as to toto_jax.main: --config.data.shards=/nfs/shards. All
members' configs are resolved and checked before anything starts. Run again with the same words, only those that are not
done start again.
"""

import sys

from absl import flags
from ml_collections import config_flags

from launch import flags as launch_flags
from launch.command_line import run_command
from launch.flags import DRY_RUN, define_backend_flags, launch_from_flags, options_from_flags, workdir
from launch.launching import start
from launch.members import expand

# A sweep's file has a config's get_config: by the same flag its overrides are those of launch.run.
_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "What members start from; override with --config.key=value."
)
flags.DEFINE_alias("sweep", "config")
flags.mark_flag_as_required("sweep")
_PARALLEL = flags.DEFINE_integer("parallel", 1, "Members at once.")


def main() -> None:
    sweep, options = config_flags.get_config_filename(flags.FLAGS["config"]), options_from_flags()
    expanded = expand(sweep, options.workdir_there(workdir()), _CONFIG.value)
    sys.exit(start(launch_from_flags(options, expanded, _PARALLEL.value), DRY_RUN.value))


if __name__ == "__main__":
    define_backend_flags()
    flags.adopt_module_key_flags(launch_flags)
    run_command(main)
