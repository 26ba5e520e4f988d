"""Launches the members of a sweep.

  python -m launch.sweep --sweep=configs/sweeps/mup_lr.py:small --backend=local --parallel=2 --workdir=runs/mup_lr

All members' configs are resolved and checked before anything starts. Run again with the same words, only those that are
not done start again.
"""

import sys

from absl import flags

from launch import flags as launch_flags
from launch.command_line import run_command
from launch.flags import DRY_RUN, define_backend_flags, launch_from_flags, workdir
from launch.launching import start
from launch.members import expand

_SWEEP = flags.DEFINE_string(
    "sweep", None, "configs/sweeps/<name>.py, or <name>.py:<variant>.", required=True
)
_PARALLEL = flags.DEFINE_integer("parallel", 1, "Members at once.")


def main() -> None:
    expanded = expand(_SWEEP.value, workdir())
    sys.exit(start(launch_from_flags(expanded, _PARALLEL.value), DRY_RUN.value))


if __name__ == "__main__":
    define_backend_flags()
    flags.adopt_module_key_flags(launch_flags)
    run_command(main)
