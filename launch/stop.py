"""Stops a launch: what runs saves and ends, what waits is taken back.

python -m launch.stop --workdir=runs/mup_lr
"""

import pathlib

from absl import flags

from launch.command_line import run_command
from launch.launching import backend_module, load_launch

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the launch.", required=True)


def main() -> None:
    launch = load_launch(pathlib.Path(_WORKDIR.value).absolute())
    stopped = backend_module(launch.backend).stop(launch)
    print(f"Told to stop: {', '.join(stopped)}" if stopped else "Nothing was running")
    print(f"To go on: python -m launch.resume --workdir={launch.workdir}")


if __name__ == "__main__":
    run_command(main)
