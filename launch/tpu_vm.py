"""On TPU VMs: each member has a node of its own, a queued resource, which is created anew when it was preempted.

This machine keeps the members going, and needs nothing but gcloud; `launch.tpu_node` is one attempt.
"""

import dataclasses
import pathlib
import shlex
import sys

from launch.actions import Action, Attempts
from launch.launching import Launch, refuse_preparation, require_program, run
from launch.names import cloud_name
from launch.options import BackendOptions, option
from launch.supervisor import stop_here
from launch.tpu_commands import Node
from toto_jax.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Options(BackendOptions):
    """Flags of --backend=tpu_vm."""

    zone: str = option("", "Zone of the nodes, for instance us-central2-b.")
    accelerator_type: str = option("", "TPU type and number of cores, for instance v4-32.")
    runtime_version: str = option("", "Software of the nodes, for instance tpu-ubuntu2204-base.")
    project: str = option("", "Google Cloud project; by default gcloud's own.")
    spot: bool = option(False, "Take nodes that may be preempted.")
    gcloud: str = option("", "More flags for creating a node, as one string: '--network=mine --reserved'.")
    setup: str = option(
        "",
        "Shell line run before an attempt, in its shell (TPU VMs: on each worker): 'source venv/bin/activate'.",
    )
    code: str = option("toto_jax", "Folder of this repository on the workers, from the home folder.")
    remote_workdir: str = option("", "What the workers call --workdir; by default the same.")
    python: str = option("python3", "What Python is called where the run is.")
    poll_seconds: float = option(20.0, "Between looks at a node that is waited for.")
    patience_seconds: float = option(600.0, "For which gcloud, or ssh to a node that is there, may fail.")
    prepared: bool = option(False, "The sweep's preparation has been run.")

    def __post_init__(self) -> None:
        for name in ("zone", "accelerator_type", "runtime_version"):
            if not getattr(self, name):
                raise ConfigError(f"--backend=tpu_vm needs --{name}")

    def workdir_there(self, workdir: pathlib.Path) -> pathlib.Path:
        """Returns what the workers call it."""
        return pathlib.Path(self.remote_workdir) if self.remote_workdir else workdir


def get_ready(launch: Launch) -> None:
    """Checks that gcloud is there.

    Raises:
      ConfigError: if it isn't.
    """
    del launch
    require_program("gcloud")


def nodes(launch: Launch) -> dict[str, Node]:
    """Returns member -> its node."""
    options = launch.options
    return {
        member.name: Node(
            cloud_name(launch, member), options.zone, options.project, options.accelerator_type,
            options.runtime_version, options.spot, tuple(shlex.split(options.gcloud)),
        )
        for member in launch.members
    }  # fmt: skip


def plan(launch: Launch) -> list[Action]:
    """Returns an attempt for each member, with the commands that it goes through."""
    refuse_preparation(launch, launch.options.prepared)
    options, commands, inside = launch.options, {}, {}
    found, seen = nodes(launch), ["--nosees_workdir"] if options.remote_workdir else []
    for member in launch.members:
        node = found[member.name]
        training = launch.training(member, options.python, config=node.config_file)
        local = launch.workdir / member.config_file
        work = node.passage(options.setup, options.code, local, training)
        inside[member.name] = (node.describe(), node.create(), node.probe(), *work, node.delete())
        flags = [
            f"--config={local}", f"--code={options.code}", f"--poll_seconds={options.poll_seconds:g}",
            f"--patience_seconds={options.patience_seconds:g}",
        ]  # fmt: skip
        flags += [f"--setup={options.setup}"] if options.setup else []
        command = (sys.executable, "-m", "launch.tpu_node", *node.flags(), *flags, "--", *training)
        commands[member.name] = launch.attempt(member, seen, command)
    return [Attempts(commands, launch.parallel, inside)]


def stop(launch: Launch) -> list[str]:
    """Has members save and end, and deletes their nodes. Returns the members that ran."""
    require_program("gcloud")
    stopped = stop_here(launch)
    for node in nodes(launch).values():
        if node.find() is not None:
            run(launch.workdir, node.delete(), print)
    return stopped


def states(launch: Launch) -> dict[str, str]:
    """Returns nothing: the launcher of this machine knows what members do."""
    del launch
    return {}
