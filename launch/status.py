"""Shows how far a launch is.

python -m launch.status --workdir=runs/mup_lr
python -m launch.status --workdir=runs/mup_lr --every=30
"""

import pathlib
import time

from absl import flags

from launch.command_line import run_command
from launch.launching import load_launch
from launch.table import table

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the launch.", required=True)
_EVERY = flags.DEFINE_float("every", 0.0, "Seconds between tables; 0 for one.")


def main() -> None:
    while True:
        print(table(load_launch(pathlib.Path(_WORKDIR.value).absolute())), flush=True)
        if not _EVERY.value:
            return
        time.sleep(_EVERY.value)
        print()


if __name__ == "__main__":
    run_command(main)
