from collections.abc import Iterator
from unittest import mock

import jax
import pytest
from jax._src import distributed

from toto_jax.errors import ConfigError
from toto_jax.sharding import processes
from toto_jax.sharding.processes import Place, find_place, first_node, join_job, local_devices

STEP = {
    "SLURM_JOB_ID": "7", "SLURM_STEP_NODELIST": "gpu[1-8]", "SLURM_NTASKS": "8", "SLURM_PROCID": "5",
    "SLURM_LOCALID": "0", "SLURM_NODEID": "5", "SLURM_STEP_NUM_NODES": "8", "SLURM_STEP_TASKS_PER_NODE": "1(x8)",
    "SLURM_GPUS_ON_NODE": "8", "CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7",
}  # fmt: skip


def test_a_process_on_its_own_has_no_place_and_joins_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_place({}) is None
    assert find_place({"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}) is None
    assert find_place({"TPU_WORKER_HOSTNAMES": "localhost", "TPU_WORKER_ID": "0"}) is None
    for name in ("JAX_COORDINATOR_ADDRESS", "SLURM_NTASKS", "TPU_WORKER_HOSTNAMES"):
        monkeypatch.delenv(name, raising=False)
    join_job(1.0)


def test_a_place_given_by_hand() -> None:
    given = {"JAX_COORDINATOR_ADDRESS": "10.0.0.1:1234", "JAX_NUM_PROCESSES": "4", "JAX_PROCESS_ID": "3"}
    assert find_place(given) == Place("10.0.0.1:1234", 4, 3, "JAX_COORDINATOR_ADDRESS")


def test_a_slurm_step() -> None:
    step = {
        "SLURM_NTASKS": "16", "SLURM_PROCID": "9", "SLURM_JOB_ID": "123456",
        "SLURM_STEP_NODELIST": "gpu[003-005,9],cpu1",
    }  # fmt: skip
    place = find_place(step)
    assert place is not None
    assert (place.count, place.index) == (16, 9)
    host, port = place.coordinator.split(":")
    assert host == "gpu003"
    assert 1024 < int(port) < 65_535, "the port after it is used too"
    assert find_place({**step, "SLURM_JOB_ID": "123457"}) != place


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("node1", "node1"), ("a,b", "a"), ("n[7,9]", "n7"), ("n[08-11]", "n08"), ("rack2-n[1-2],x", "rack2-n1")],
)
def test_the_first_of_a_node_list(nodes: str, first: str) -> None:
    assert first_node(nodes) == first


def test_tpu_workers_of_one_slice_and_of_two() -> None:
    workers = {"TPU_WORKER_HOSTNAMES": "w-0,w-1,w-2,w-3", "TPU_WORKER_ID": "2"}
    one = find_place(workers)
    assert one is not None
    assert (one.coordinator.split(":")[0], one.count, one.index) == ("w-0", 4, 2)
    slices = {
        "MEGASCALE_NUM_SLICES": "2",
        "MEGASCALE_SLICE_ID": "1",
        "MEGASCALE_COORDINATOR_ADDRESS": "head:8080",
    }
    two = find_place(workers | slices)
    assert two is not None
    assert (two.coordinator.split(":")[0], two.count, two.index) == ("head", 8, 6)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"JAX_NUM_PROCESSES": "2"}, "JAX_COORDINATOR_ADDRESS, JAX_PROCESS_ID is not"),
        (
            {"JAX_COORDINATOR_ADDRESS": "h:1", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "2"},
            "process 2 of 2",
        ),
        ({"JAX_COORDINATOR_ADDRESS": "h:1", "JAX_NUM_PROCESSES": "two", "JAX_PROCESS_ID": "0"}, "no numbers"),
        (
            {"JAX_COORDINATOR_ADDRESS": "h", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "0"},
            "'h' is no host:port",
        ),
    ],
)
def test_half_a_place_is_an_error(environment: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_place(environment)


@pytest.fixture
def jax_alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[distributed.State]:
    """JAX's own initialisation and detection of clusters, with nobody at the other end of its connections."""
    state = distributed.State()
    monkeypatch.setattr(distributed, "_jax", mock.MagicMock())
    monkeypatch.setattr(distributed.xla_bridge, "backends_are_initialized", lambda: False)
    monkeypatch.setattr(distributed, "global_state", state)
    monkeypatch.setattr(processes, "call_roll", lambda *given: None)
    for name in ("JAX_COORDINATOR_ADDRESS", "JAX_LOCAL_DEVICE_IDS"):
        monkeypatch.delenv(name, raising=False)
    yield state
    for name in ("jax_cuda_visible_devices", "jax_rocm_visible_devices"):
        jax.config.update(name, "all")


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ({}, "all"),
        ({"SLURM_STEP_TASKS_PER_NODE": "2(x4)", "SLURM_LOCALID": "1"}, "4,5,6,7"),
        ({"SLURM_STEP_TASKS_PER_NODE": "8", "SLURM_LOCALID": "3"}, "3"),
        ({"SLURM_STEP_TASKS_PER_NODE": "2(x4)", "JAX_LOCAL_DEVICE_IDS": "6,7"}, "6,7"),
        # Bound by Slurm: the task sees its own, whatever its number.
        ({"SLURM_STEP_TASKS_PER_NODE": "8", "SLURM_LOCALID": "3", "CUDA_VISIBLE_DEVICES": "3"}, "all"),
    ],
)
def test_a_slurm_task_takes_all_gpus_that_are_its_own(
    changes: dict[str, str], taken: str, jax_alone: distributed.State, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**STEP, **changes}.items():
        monkeypatch.setenv(name, value)
    join_job(1.0)
    assert (jax_alone.process_id, jax_alone.num_processes) == (5, 8)
    assert distributed.xla_bridge.CUDA_VISIBLE_DEVICES.value == taken


def test_what_jax_takes_in_a_slurm_step_by_itself(
    jax_alone: distributed.State, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in STEP.items():
        monkeypatch.setenv(name, value)
    jax.distributed.initialize()
    assert jax_alone.num_processes == 8
    assert distributed.xla_bridge.CUDA_VISIBLE_DEVICES.value == "0", (
        "one of eight: if this changes, join_job may be simpler"
    )


@pytest.mark.parametrize(
    ("changes", "own"),
    [
        ({}, [4, 5, 6, 7]),
        ({"SLURM_NODEID": "2"}, None),  # alone on the third node
        ({"SLURM_GPUS_PER_TASK": "4"}, None),
        ({"SLURM_TRES_PER_TASK": "cpu=4,gres/gpu=4"}, None),
        ({"SLURM_GPU_BIND": "per_task:4"}, None),
        ({"SLURM_GPUS_PER_TASK": "4", "SLURM_GPU_BIND": "none"}, [4, 5, 6, 7]),
        ({"CUDA_VISIBLE_DEVICES": "0,1,2,3"}, None),
        ({"CUDA_VISIBLE_DEVICES": ""}, None),
        ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, None),  # what Slurm writes where a job has none
        ({"CUDA_VISIBLE_DEVICES": "GPU-a,GPU-b", "SLURM_GPUS_ON_NODE": "2"}, [1]),
    ],
)
def test_tasks_that_share_a_node(changes: dict[str, str], own: list[int] | None) -> None:
    shared = {**STEP, "SLURM_STEP_TASKS_PER_NODE": "2(x2),1", "SLURM_NODEID": "1", "SLURM_LOCALID": "1"}
    assert local_devices({**shared, **changes}) == own


def test_gpus_that_nothing_names_or_that_do_not_come_out_even() -> None:
    shared = {**STEP, "SLURM_STEP_TASKS_PER_NODE": "3", "SLURM_LOCALID": "2"}
    with pytest.raises(
        ConfigError, match="3 tasks share a node's 8 GPUs.*--ntasks-per-node=1 or 2 or 4 or 8"
    ):
        local_devices(shared)
    del shared["CUDA_VISIBLE_DEVICES"]
    assert local_devices(shared) == [2]
    assert local_devices({}) is None
    with pytest.raises(ConfigError, match="SLURM_STEP_TASKS_PER_NODE='two' is no list"):
        local_devices({"SLURM_STEP_TASKS_PER_NODE": "two"})
