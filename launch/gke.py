"""On GKE: each member is a JobSet on one TPU slice, restarted by JobSet's controller; nothing has to stay up here."""

import dataclasses
import json
import math
import pathlib
import re
import subprocess
from typing import Any

from launch import attempts
from launch.actions import Action, Run, Write
from launch.launching import Launch, refuse_preparation, require_program, run
from launch.members import Member
from launch.names import cloud_name
from launch.options import BackendOptions, option
from launch.retry import FINAL
from toto_jax.errors import ConfigError, TotoError

_LABEL = "toto-jax/launch"
_CONTAINER = "train"
_CONFIG_FOLDER = "/etc/toto_jax"
_SPOT = "cloud.google.com/gke-spot"


@dataclasses.dataclass(frozen=True)
class Options(BackendOptions):
    """Flags of --backend=gke."""

    image: str = option("", "Container image whose working folder is this repository.")
    accelerator: str = option(
        "", "Node label cloud.google.com/gke-tpu-accelerator, for instance tpu-v5p-slice."
    )
    topology: str = option("", "Node label cloud.google.com/gke-tpu-topology, for instance 2x2x4.")
    hosts: int = option(1, "Hosts of the slice: one pod on each.")
    chips: int = option(4, "TPU chips of each host.")
    spot: bool = option(False, "Take nodes that may be preempted.")
    reservation: str = option("", "Take nodes of this reservation.")
    claim: str = option("", "PersistentVolumeClaim for the runs, which all pods can write.")
    mount: str = option(
        "/runs", "Where pods mount it; the launch is in a folder there that is named as --workdir."
    )
    namespace: str = option("default", "Kubernetes namespace.")
    queue: str = option("", "Kueue's local queue; it decides how many members run at once.")
    max_restarts: int = option(100, "Of a member, after preemptions and failures together.")
    python: str = option("python3", "What Python is called where the run is.")
    prepared: bool = option(False, "The sweep's preparation has been run.")

    def __post_init__(self) -> None:
        for name in ("image", "accelerator", "topology", "claim"):
            if not getattr(self, name):
                raise ConfigError(f"--backend=gke needs --{name}")
        for name in ("hosts", "chips"):
            if getattr(self, name) < 1:
                raise ConfigError(f"--{name}={getattr(self, name)}: at least 1")
        if self.spot and self.reservation:
            raise ConfigError(
                f"--spot --reservation={self.reservation}: nodes are of one kind or of the other"
            )
        self._check_slice()

    def workdir_there(self, workdir: pathlib.Path) -> pathlib.Path:
        """Returns the launch's folder on the mounted claim."""
        return pathlib.Path(self.mount) / workdir.name

    def _check_slice(self) -> None:
        if not re.fullmatch(r"\d+(x\d+){1,2}", self.topology):
            raise ConfigError(f"--topology={self.topology} is no grid of chips such as 4x4 or 2x2x4")
        chips = math.prod(map(int, self.topology.split("x")))
        if self.hosts * self.chips != chips:
            fits = [f"--hosts={chips // each} --chips={each}" for each in (8, 4, 1) if chips % each == 0]
            raise ConfigError(
                f"--topology={self.topology} has {chips} chips, and --hosts={self.hosts} --chips={self.chips} makes "
                f"{self.hosts * self.chips}. {' or '.join(fits)} would fit, whichever the slice's hosts are like"
            )


def get_ready(launch: Launch) -> None:
    """Takes over what an earlier launch has come to: JobSets that are done are noted, failed ones deleted.

    Raises:
      ConfigError: if kubectl isn't installed.
    """
    found = states(launch)
    for member in launch.members:
        folder, name = launch.folder(member), cloud_name(launch, member)
        if found.get(member.name) == "done" and not (folder / attempts.DONE).exists():
            attempts.note_done(folder)
        if found.get(member.name) == "failed":
            run(launch.workdir, ("kubectl", "delete", "jobset", name, *_namespace(launch)), print)


def plan(launch: Launch) -> list[Action]:
    """Returns a manifest and its submission for each member that isn't done.

    Raises:
      ConfigError: if more members would run at once than --parallel allows, as only Kueue can hold some back.
    """
    refuse_preparation(launch, launch.options.prepared)
    left = [member for member in launch.members if not attempts.is_settled(launch.folder(member))]
    if len(left) > launch.parallel and not launch.options.queue:
        raise ConfigError(
            f"{len(left)} members would run at once and --parallel={launch.parallel}: name a queue of Kueue that "
            f"holds them back (--queue), or give --parallel={len(left)}"
        )
    actions: list[Action] = []
    for member in left:
        path = launch.workdir / "gke" / f"{member.name}.json"
        items = [config_map(launch, member), job_set(launch, member)]
        manifest = {"apiVersion": "v1", "kind": "List", "items": items}
        actions += [
            Write(path, json.dumps(manifest, indent=2) + "\n"),
            Run(("kubectl", "apply", f"--filename={path}")),
        ]
    return actions


def _metadata(launch: Launch, member: Member) -> dict[str, Any]:
    return {
        "name": cloud_name(launch, member),
        "namespace": launch.options.namespace,
        "labels": {_LABEL: launch.name},
    }


def config_map(launch: Launch, member: Member) -> dict[str, Any]:
    """Returns the manifest of a member's config."""
    data = {"config.json": member.config}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata(launch, member), "data": data}


def job_set(launch: Launch, member: Member) -> dict[str, Any]:
    """Returns the manifest of a member's JobSet.

    A pod that ends with a code after which a restart would meet the same end fails its Job by PodFailurePolicy, and so
    the JobSet; any other fails the Job by its backoff limit, and the JobSet starts all pods again.
    """
    options, metadata = launch.options, _metadata(launch, member)
    if options.queue:
        metadata["labels"]["kueue.x-k8s.io/queue-name"] = options.queue
    if options.hosts > 1:
        # All pods of a Job on one slice, which is a node pool. Slices of one host have theirs in common.
        metadata["annotations"] = {
            "alpha.jobset.sigs.k8s.io/exclusive-topology": "cloud.google.com/gke-nodepool"
        }
    final = {"containerName": _CONTAINER, "operator": "In", "values": sorted(FINAL)}
    job = {
        "parallelism": options.hosts,
        "completions": options.hosts,
        "completionMode": "Indexed",
        "backoffLimit": 0,
        "podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": final}]},
        "template": {"spec": pod(launch, member)},
    }
    rule = {"name": "final", "action": "FailJobSet", "onJobFailureReasons": ["PodFailurePolicy"]}
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": metadata,
        "spec": {
            "failurePolicy": {"maxRestarts": options.max_restarts, "rules": [rule]},
            "replicatedJobs": [{"name": "host", "replicas": 1, "template": {"spec": job}}],
        },
    }


def pod(launch: Launch, member: Member) -> dict[str, Any]:
    """Returns the pod of one host: Python is its first process, and gets SIGTERM itself."""
    options = launch.options
    training = launch.training(member, options.python, f"{_CONFIG_FOLDER}/config.json")
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": round(launch.grace_seconds),
        "nodeSelector": {
            "cloud.google.com/gke-tpu-accelerator": options.accelerator,
            "cloud.google.com/gke-tpu-topology": options.topology,
            **({_SPOT: "true"} if options.spot else {}),
            **({"cloud.google.com/reservation-name": options.reservation} if options.reservation else {}),
        },
        # Spot nodes may keep off pods that don't say that they may be preempted.
        **({"tolerations": [{"key": _SPOT, "operator": "Equal", "value": "true"}]} if options.spot else {}),
        "containers": [
            {
                "name": _CONTAINER,
                "image": options.image,
                "command": list(training),
                "resources": {"limits": {"google.com/tpu": str(options.chips)}},
                "volumeMounts": [
                    {"name": "config", "mountPath": _CONFIG_FOLDER},
                    {"name": "runs", "mountPath": options.mount},
                ],
            }
        ],
        "volumes": [
            {"name": "config", "configMap": {"name": cloud_name(launch, member)}},
            {"name": "runs", "persistentVolumeClaim": {"claimName": options.claim}},
        ],
    }


def _namespace(launch: Launch) -> tuple[str, ...]:
    return (f"--namespace={launch.options.namespace}",)


def states(launch: Launch) -> dict[str, str]:
    """Returns a word on each member that has a JobSet: "queued", "running", "done" or "failed".

    Raises:
      ConfigError: if kubectl isn't installed.
      TotoError: if the cluster doesn't answer.
    """
    require_program("kubectl")
    argv = [
        "kubectl",
        "get",
        "jobsets",
        f"--selector={_LABEL}={launch.name}",
        *_namespace(launch),
        "--output=json",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TotoError(f"kubectl could not list the launch's JobSets:\n{done.stderr.strip()[-1000:]}")
    items = {item["metadata"]["name"]: item for item in json.loads(done.stdout)["items"]}
    names = {member.name: cloud_name(launch, member) for member in launch.members}
    return {member: _state(items[name]) for member, name in names.items() if name in items}


def _state(item: dict[str, Any]) -> str:
    ended = {"Completed": "done", "Failed": "failed"}
    state = item.get("status", {}).get("terminalState", "")
    return ended.get(state) or ("queued" if item["spec"].get("suspend") else "running")


def stop(launch: Launch) -> list[str]:
    """Deletes the launch's JobSets; their pods are told to save and have the grace for it.

    Returns:
      The members that had one and were not done.
    """
    found = [name for name, state in states(launch).items() if state in ("queued", "running")]
    argv = (
        "kubectl",
        "delete",
        "jobsets,configmaps",
        f"--selector={_LABEL}={launch.name}",
        *_namespace(launch),
    )
    get_ready(launch)  # or nobody would know which are done
    run(launch.workdir, argv, print)
    return found
