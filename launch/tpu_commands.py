"""The gcloud commands for a TPU VM, and what their answers mean."""

import dataclasses
import json
import pathlib
import shlex
import subprocess
from collections.abc import Sequence

from toto_jax.errors import ConfigError, JobError, TotoError

# States of a queued resource, by what is to be done about them.
WAIT = ("ACCEPTED", "CREATING", "DELETING", "PROVISIONING", "SUSPENDING", "WAITING_FOR_RESOURCES")
GO = ("ACTIVE",)
RECREATE = ("FAILED", "SUSPENDED")
_GROUP = ("gcloud", "compute", "tpus")


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
        """Returns the command that has the training save and end."""
        return self.ssh(f'kill -TERM "$(cat {self.process_file})"')

    def passage(
        self, setup: str, code: str, config: pathlib.Path, training: Sequence[str]
    ) -> tuple[tuple[str, ...], ...]:
        """Returns what is run on a node that is there: the setup, the config's copy, the training."""
        copy = (*_GROUP, "tpu-vm", "scp", str(config), f"{self.name}:{self.config_file}", *self._where)
        words = shlex.join(["bash", "launch/worker.sh", self.process_file, *training])
        train = self.ssh(f"cd {shlex.quote(code)} && {words}")
        return (*([self.ssh(setup)] if setup else []), (*copy, "--worker=all", "--quiet"), train)

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
            message = state.get("failedData", {}).get("error", {}).get("message", "")
            if "quota" in message.lower():
                raise explain(self, message)
        return state.get("state", "")


def explain(node: Node, said: str) -> TotoError:
    """Returns the error that gcloud's words mean: one that a restart can't mend (64), or one that it may (44)."""
    text = said.strip()[-1000:]
    if "quota" in text.lower():
        return ConfigError(
            f"Google Cloud has no quota left for {node.accelerator_type} in {node.zone}"
            f"{' (spot)' if node.spot else ''}: ask for more in the console (IAM & Admin, Quotas), delete what is not "
            f"needed (gcloud compute tpus queued-resources list --zone={node.zone}), or give another --zone or "
            f"--accelerator_type. It said:\n{text}"
        )
    if any(
        word in text for word in ("PERMISSION_DENIED", "UNAUTHENTICATED", "INVALID_ARGUMENT", "auth login")
    ):
        return ConfigError(f"gcloud refuses:\n{text}")
    return JobError(f"gcloud failed:\n{text}")
