"""The gcloud commands for a TPU VM, and what their answers mean."""

import dataclasses
import json
import pathlib
import shlex
import subprocess
from collections.abc import Sequence

from toto_jax.errors import ConfigError, JobError, Preempted, TotoError

# States of a queued resource, by what is to be done about them.
WAIT = ("ACCEPTED", "CREATING", "DELETING", "PROVISIONING", "SUSPENDING", "WAITING_FOR_RESOURCES")
GO = ("ACTIVE",)
RECREATE = ("FAILED", "SUSPENDED")
# What a worker says where its shell ended before the training began.
NOT_BEGUN = "launch: before the training: exit code"
_GROUP = ("gcloud", "compute", "tpus")
_TOO_OFTEN = ("rate_limit_exceeded", "ratelimitexceeded", "per minute")
_NO_CAPACITY = ("no more capacity", "resource_exhausted", "stockout")
_REFUSED = (
    "PERMISSION_DENIED",
    "UNAUTHENTICATED",
    "INVALID_ARGUMENT",
    "auth login",
    "unrecognized arguments",
)


class ConnectionLost(JobError):
    """ssh itself failed, and not what it was to run."""


@dataclasses.dataclass(frozen=True)
class Node:
    """A queued resource and the one node in it, which have the same name.

    Attributes:
      name: of both.
      zone, project, accelerator_type, runtime_version: as gcloud's flags; an empty project is gcloud's own.
      spot: whether it may be preempted.
      more: flags for its creation.
    """

    name: str
    zone: str
    project: str
    accelerator_type: str
    runtime_version: str
    spot: bool
    more: tuple[str, ...]

    @property
    def config_file(self) -> str:
        """Where the workers find the config."""
        return f"/tmp/{self.name}.json"

    @property
    def process_file(self) -> str:
        """Where the workers note which process trains."""
        return f"/tmp/{self.name}.pid"

    @property
    def _where(self) -> tuple[str, ...]:
        return (f"--zone={self.zone}", *([f"--project={self.project}"] if self.project else []))

    def flags(self) -> tuple[str, ...]:
        """Returns the node as flags of launch.tpu_node."""
        return (
            f"--node={self.name}", *self._where, f"--accelerator_type={self.accelerator_type}",
            f"--runtime_version={self.runtime_version}", *(["--spot"] if self.spot else []),
            *([f"--gcloud={shlex.join(self.more)}"] if self.more else []),
        )  # fmt: skip

    def describe(self) -> tuple[str, ...]:
        return (*_GROUP, "queued-resources", "describe", self.name, *self._where, "--format=json")

    def create(self) -> tuple[str, ...]:
        return (
            *_GROUP, "queued-resources", "create", self.name, f"--node-id={self.name}", *self._where,
            f"--accelerator-type={self.accelerator_type}", f"--runtime-version={self.runtime_version}",
            *(["--spot"] if self.spot else []), *self.more, "--quiet",
        )  # fmt: skip

    def delete(self) -> tuple[str, ...]:
        # --force: with its node.
        return (*_GROUP, "queued-resources", "delete", self.name, *self._where, "--force", "--quiet")

    def ssh(self, command: str) -> tuple[str, ...]:
        """Returns the command that runs a shell line on all workers."""
        return (
            *(*_GROUP, "tpu-vm", "ssh", self.name, *self._where),
            *("--worker=all", f"--command={command}", "--quiet"),
        )

    def stop(self) -> tuple[str, ...]:
        """Returns the command that has the training save and end; run again, it tells only workers that begin later.

        A second SIGTERM would end a training that is saving.
        """
        told = f"{self.process_file}.told"
        return self.ssh(f'mv {self.process_file} {told} && kill -TERM "$(cat {told})"')

    def probe(self) -> tuple[str, ...]:
        """Returns the command that finds out whether the workers can be reached."""
        return self.ssh("true")

    def passage(
        self, setup: str, code: str, config: pathlib.Path, training: Sequence[str]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Returns what is run on a node that can be reached: the config's copy; setup and training, in one shell.

        Where the shell ends before the training, it says so (NOT_BEGUN): that is no exit code of the training.
        """
        copy = (*_GROUP, "tpu-vm", "scp", str(config), f"{self.name}:{self.config_file}", *self._where)
        lines = [f'trap "echo {NOT_BEGUN} \\$?" EXIT']
        if setup:
            # In a `||` list a setup's own `set -e` would have no effect.
            lines += [f"eval {shlex.quote(setup)}", "(exit $?) || exit"]
        lines += [f"cd && cd {shlex.quote(code)} || exit", "trap - EXIT"]
        lines += [shlex.join(["bash", "launch/worker.sh", self.process_file, *training])]
        return (*copy, "--worker=all", "--quiet"), self.ssh("; ".join(lines))

    def find(self) -> str | None:
        """Returns the queued resource's state, or None if there is none.

        Raises:
          ConfigError, JobError: if gcloud can't say, or the request failed (see `explain`).
        """
        done = subprocess.run(self.describe(), capture_output=True, text=True, check=False)
        if done.returncode:
            if "NOT_FOUND" in done.stderr:
                return None
            raise explain(self, done.stderr)
        state = json.loads(done.stdout).get("state", {})
        if state.get("state") == "FAILED":
            error = explain(self, state.get("failedData", {}).get("error", {}).get("message", ""))
            if isinstance(error, ConfigError):
                raise error
        return state.get("state", "")


def explain(node: Node, said: str, code: int = 1) -> TotoError:
    """Returns the error that gcloud's words mean.

    Args:
      node: which it was about.
      said: its words.
      code: its exit code.

    Returns:
      One that a restart can't mend (64), one that it may (44; ConnectionLost if ssh itself failed), or that there is
      nothing to be had just now (42).
    """
    text = said.strip()[-1000:]
    if code == 255 or "return code [255]" in text:
        return ConnectionLost(f"{node.name} can't be reached by ssh:\n{text}")
    # The quotas of requests a minute come back by themselves.
    if any(words in text.lower() for words in _TOO_OFTEN):
        return JobError(f"gcloud is asked too often:\n{text}")
    if "quota" in text.lower():
        return ConfigError(
            f"Google Cloud has no quota left for {node.accelerator_type} in {node.zone}"
            f"{' (spot)' if node.spot else ''}: ask for more in the console (IAM & Admin, Quotas), delete what is not "
            f"needed (gcloud compute tpus queued-resources list --zone={node.zone}), or give another --zone or "
            f"--accelerator_type. It said:\n{text}"
        )
    if any(words in text for words in _REFUSED):
        return ConfigError(f"gcloud refuses:\n{text}")
    if any(words in text.lower() for words in _NO_CAPACITY):
        return Preempted(f"{node.zone} has no {node.accelerator_type} to give just now:\n{text}")
    return JobError(f"gcloud failed:\n{text}")
