"""The processes of one job: who they are, and how they come together before the first device is touched.

A job is one process a host (TPU VMs, GKE), one a task (Slurm), or any number on one machine (a rehearsal over
loopback). What the scheduler tells a process is in its environment; nothing has to be given on the command line.
"""

import dataclasses
import importlib.util
import os
import re
from collections.abc import Mapping

import jax

from toto_jax.errors import ConfigError
from toto_jax.sharding.roll_call import call_roll

_EXPLICIT = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
_DEFAULT_PORT = 8476


@dataclasses.dataclass(frozen=True)
class Place:
    """A process's place in its job.

    Attributes:
      coordinator: `host:port` of process 0.
      count: of processes.
      index: of this one.
      source: what said so, for messages.
    """

    coordinator: str
    count: int
    index: int
    source: str


def find_place(environment: Mapping[str, str]) -> Place | None:
    """Returns this process's place by its environment variables, or None if it is on its own.

    In this order: JAX_COORDINATOR_ADDRESS with JAX_NUM_PROCESSES and JAX_PROCESS_ID; a Slurm step of several tasks; TPU
    workers as GKE sets them (TPU_WORKER_HOSTNAMES, TPU_WORKER_ID), with MEGASCALE_* if there are several slices.

    Raises:
      ConfigError: if a set of variables is incomplete or contradicts itself.
    """
    given = [name for name in _EXPLICIT if name in environment]
    if given:
        missing = [name for name in _EXPLICIT if name not in environment]
        if missing:
            raise ConfigError(
                f"{', '.join(given)} is set, but {', '.join(missing)} is not: set all three or none"
            )
        address, count, index = (environment[name] for name in _EXPLICIT)
        return _place(address, count, index, "JAX_COORDINATOR_ADDRESS")
    if int(environment.get("SLURM_NTASKS", "1")) > 1 and "SLURM_PROCID" in environment:
        nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST", "localhost")
        # Jobs that share a node must not share a port.
        port = 61_440 + int(environment.get("SLURM_JOB_ID", "0")) % 4_000
        address = f"{first_node(nodes)}:{port}"
        return _place(address, environment["SLURM_NTASKS"], environment["SLURM_PROCID"], "Slurm")
    if "TPU_WORKER_HOSTNAMES" in environment:
        hosts = environment["TPU_WORKER_HOSTNAMES"].split(",")
        slices = int(environment.get("MEGASCALE_NUM_SLICES", "1"))
        worker = int(environment.get("TPU_WORKER_ID", "0"))
        index = int(environment.get("MEGASCALE_SLICE_ID", "0")) * len(hosts) + worker
        head = environment.get("MEGASCALE_COORDINATOR_ADDRESS", hosts[0]).rpartition(":")
        host = head[0] or head[2]
        if len(hosts) * slices > 1:
            return _place(
                f"{host}:{_DEFAULT_PORT}", str(len(hosts) * slices), str(index), "TPU_WORKER_HOSTNAMES"
            )
    return None


def first_node(nodes: str) -> str:
    """Returns the first host of a Slurm node list: `gpu[003-005,9],cpu1` begins with gpu003."""
    match = re.match(r"([^\[,]+)(?:\[([^\],-]+))?", nodes)
    if match is None:
        raise ConfigError(f"SLURM_STEP_NODELIST={nodes!r} names no node")
    return match.group(1) + (match.group(2) or "")


def local_devices(environment: Mapping[str, str]) -> list[int] | None:
    """Returns which of the GPUs that this process sees are its own, or None for all of them.

    A task that is alone on its node takes them all, and so does one that sees only the GPUs that Slurm has bound it to.
    Tasks that see the same ones share them out evenly, in their order. Where nothing says what they see
    (CUDA_VISIBLE_DEVICES, ROCR_VISIBLE_DEVICES), each has the one of its number, as JAX would have it. JAX itself reads
    JAX_LOCAL_DEVICE_IDS, which comes before all of this.

    Raises:
      ConfigError: if the GPUs can't be shared out evenly.
    """
    tasks, task = _tasks_of_node(environment), int(environment.get("SLURM_LOCALID", "0"))
    if tasks == 1 or "JAX_LOCAL_DEVICE_IDS" in environment:
        return None
    visible = environment.get("CUDA_VISIBLE_DEVICES", environment.get("ROCR_VISIBLE_DEVICES"))
    if visible is None:
        return [task]
    count = 0 if visible in ("", "NoDevFiles") else len(visible.split(","))
    if count == 0 or _are_bound(environment, count):
        return None
    if count % tasks:
        fitting = [str(number) for number in range(1, count + 1) if count % number == 0]
        raise ConfigError(
            f"{tasks} tasks share a node's {count} GPUs (CUDA_VISIBLE_DEVICES={visible}), which doesn't come out even: "
            f"--ntasks-per-node={' or '.join(fitting)} would, or bind each task to its own with --gpus-per-task"
        )
    share = count // tasks
    return list(range(task * share, (task + 1) * share))


def _tasks_of_node(environment: Mapping[str, str]) -> int:
    """Returns how many tasks of the Slurm step are on this node: the second of `2(x3),1` has 2, the fourth 1."""
    counts: list[int] = []
    for word in environment.get("SLURM_STEP_TASKS_PER_NODE", "1").split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", word)
        if match is None:
            raise ConfigError(
                f"SLURM_STEP_TASKS_PER_NODE={environment['SLURM_STEP_TASKS_PER_NODE']!r} is no list such as 2(x3),1"
            )
        counts += [int(match.group(1))] * int(match.group(2) or 1)
    return counts[min(int(environment.get("SLURM_NODEID", "0")), len(counts) - 1)]


def _are_bound(environment: Mapping[str, str], visible: int) -> bool:
    """Returns whether Slurm shows each task its own GPUs only, by what was asked for or by what is to be seen."""
    binding = environment.get("SLURM_GPU_BIND", environment.get("SLURM_TRES_BIND", ""))
    if binding:
        return "none" not in binding
    asked = "SLURM_GPUS_PER_TASK" in environment or "gpu" in environment.get("SLURM_TRES_PER_TASK", "")
    return asked or visible < int(environment.get("SLURM_GPUS_ON_NODE", visible))


def _place(address: str, count: str, index: str, source: str) -> Place:
    try:
        place = Place(address, int(count), int(index), source)
    except ValueError:
        raise ConfigError(
            f"{source}: {count!r} processes, of which this is {index!r}, are no numbers"
        ) from None
    if not 0 <= place.index < place.count:
        raise ConfigError(f"{source}: process {place.index} of {place.count} can't be; they count from 0")
    if not re.fullmatch(r"\[?[\w.:-]+\]?:\d+", address):
        raise ConfigError(f"{source}: {address!r} is no host:port")
    return place


def join_job(timeout: float) -> None:
    """Joins this process with the others of its job; does nothing where it is on its own, or has joined already.

    Must come before anything asks for devices.

    Args:
      timeout: seconds to wait for the others.

    Raises:
      JobError: if some don't come in time; it names them.
      ConfigError: if the environment makes no sense.
    """
    if jax.distributed.is_initialized():
        return
    place = find_place(os.environ)
    if place is not None and place.count > 1:
        # JAX's own wait ends in an abort that doesn't say who was missing.
        call_roll(place.coordinator, place.count, place.index, timeout)
        jax.distributed.initialize(
            place.coordinator,
            place.count,
            place.index,
            local_devices(os.environ),
            # What JAX finds out by itself in a Slurm step is one GPU a task, however many the task has.
            cluster_detection_method="deactivate",
            initialization_timeout=int(timeout),
        )
    elif place is None and may_be_tpu_vm():
        # Outside of GKE, what a TPU VM knows of its pod comes from its metadata server, which JAX asks.
        jax.distributed.initialize(initialization_timeout=int(timeout))


def may_be_tpu_vm() -> bool:
    """Returns whether this machine has TPU chips that JAX will use."""
    platforms = jax.config.jax_platforms or ""
    if importlib.util.find_spec("libtpu") is None or (platforms and "tpu" not in platforms):
        return False
    return os.path.exists("/dev/accel0") or os.path.exists("/dev/vfio/0")
