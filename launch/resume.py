"""Goes on with a launch, as it was launched: members that are done, or have diverged, are left alone.

python -m launch.resume --workdir=runs/mup_lr
"""

import pathlib
import sys

from absl import flags

from launch.command_line import run_command
from launch.launching import load_launch, start

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the launch.", required=True)
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Print commands and files; do nothing.")


def main() -> None:
    sys.exit(start(load_launch(pathlib.Path(_WORKDIR.value).absolute()), _DRY_RUN.value))


if __name__ == "__main__":
    run_command(main)
