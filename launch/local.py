"""On this machine: each member is one or several real processes, which find each other over loopback."""

import dataclasses
import sys

from launch.actions import Action, Attempts, Run
from launch.launching import Launch
from launch.options import BackendOptions, option
from launch.supervisor import stop_here
from toto_jax.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Options(BackendOptions):
    """Flags of --backend=local."""

    processes: int = option(1, "Processes of each member.")
    devices: int = option(0, "Fake CPU devices of each process; 0 for what the machine has.")

    def __post_init__(self) -> None:
        if self.processes < 1 or self.devices < 0:
            raise ConfigError(f"--processes={self.processes} --devices={self.devices} can't be")


def get_ready(launch: Launch) -> None:
    """Finds nothing wrong: a second launcher in a workdir is noticed by its lock."""
    del launch


def plan(launch: Launch) -> list[Action]:
    """Returns the preparations, and then an attempt for each member."""
    flags = [f"--processes={launch.options.processes}"] if launch.options.processes > 1 else []
    flags += [f"--devices={launch.options.devices}"] if launch.options.devices else []
    commands = {
        member.name: launch.attempt(member, flags, launch.training(member, sys.executable))
        for member in launch.members
    }
    prepare = [
        Run((sys.executable, *argv[1:]) if argv[0] == "python" else argv, True) for argv in launch.prepare
    ]
    return [*prepare, Attempts(commands, launch.parallel)]


def stop(launch: Launch) -> list[str]:
    """Stops the launcher and all members. Returns the names of those that ran."""
    return stop_here(launch)


def states(launch: Launch) -> dict[str, str]:
    """Returns nothing: what members do here can be seen in their folders."""
    del launch
    return {}
