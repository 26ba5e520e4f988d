"""Launches one config.

  python -m launch.run --config=configs/quickstart.py --backend=local --workdir=runs/quickstart
  python -m launch.run --config=configs/1b.py --backend=slurm --nodes=8 --workdir=/nfs/runs/1b --dry_run

Overrides of the config are given as to toto_jax.main. Run again with the same words, it goes on where it is.
"""

import sys

from absl import flags
from ml_collections import config_flags

from launch import flags as launch_flags
from launch.command_line import run_command
from launch.flags import DRY_RUN, define_backend_flags, launch_from_flags, options_from_flags
from launch.launching import start
from launch.members import single

_CONFIG = config_flags.DEFINE_config_file("config", None, "Config file; override with --config.key=value.")
flags.mark_flag_as_required("config")


def main() -> None:
    expanded = single(config_flags.get_config_filename(flags.FLAGS["config"]), _CONFIG.value)
    sys.exit(start(launch_from_flags(options_from_flags(), expanded, parallel=1), DRY_RUN.value))


if __name__ == "__main__":
    define_backend_flags()
    flags.adopt_module_key_flags(launch_flags)
    run_command(main)
