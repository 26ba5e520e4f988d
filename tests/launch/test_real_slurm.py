"""Submission to a real Slurm of this one machine, where it is installed."""

import dataclasses
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from launch import attempts, slurm
from launch.launching import execute, load_launch
from launch.table import table
from tests.launch.fakes import install
from tests.launch.stand_in import stand_in
from tests.launch.test_slurm import silent, slurm_launch


@pytest.fixture
def cluster(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Slurm of this one machine."""
    for program in ("slurmctld", "slurmd", "sbatch"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (apt install slurmctld slurmd slurm-client)")
    if os.getuid() != 0:
        pytest.skip("only root may start Slurm's daemons")
    home, host, ports = tmp_path / "slurm", socket.gethostname().partition(".")[0], []
    for _ in range(2):
        with socket.create_server(("localhost", 0)) as server:
            ports.append(server.getsockname()[1])
    (home / "state").mkdir(parents=True)
    (home / "slurm.conf").write_text(f"""
ClusterName=test
SlurmctldHost={host}
SlurmUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={home}/state
SlurmdSpoolDir={home}/spool
SlurmctldPidFile={home}/slurmctld.pid
SlurmdPidFile={home}/slurmd.pid
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
KillWait=5
NodeName={host} CPUs=2 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES State=UP OverSubscribe=FORCE:4
""")
    monkeypatch.setenv("SLURM_CONF", str(home / "slurm.conf"))
    daemons = []
    try:
        for program in ("slurmctld", "slurmd"):
            with (home / f"{program}.log").open("wb") as log:
                daemons.append(subprocess.Popen([program, "-D"], stdout=log, stderr=log))
        until(lambda: "idle" in shell("sinfo", "--noheader"), seconds=15)
        yield
        # A job's own daemon lives until the controller knows of its end.
        shell("scancel", "--user=root")
        until(lambda: not shell("squeue", "--noheader"))
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait(timeout=10)


def shell(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, shell("squeue")
        time.sleep(0.1)


@pytest.mark.usefixtures("cluster")
def test_a_real_slurm_stops_requeues_and_resumes(tmp_path: pathlib.Path) -> None:
    python = stand_in(tmp_path / "python", "wait 0")
    launch = dataclasses.replace(slurm_launch(tmp_path / "w", "a b", python=python), prepare=())
    execute(launch, slurm.plan(launch), silent)
    members = {name: launch.workdir / name for name in "ab"}
    until(lambda: all((folder / "ready").exists() for folder in members.values()))
    assert slurm.states(launch) == {"a": "running", "b": "running"}
    # One is preempted: it saves, and goes back into the queue by itself.
    shell("scancel", "--signal=TERM", "1_0")
    until(lambda: attempts.last_code(members["a"]) == 42 and slurm.states(launch).get("a") == "queued")
    shell("scontrol", "update", "JobId=1_0", "StartTime=now")
    until((members["a"] / "DONE").exists)
    until(lambda: slurm.states(launch) == {"b": "running"})
    # The other is stopped by a person: it saves, and stays out of the queue.
    assert slurm.stop(launch) == ["b"]
    until(lambda: slurm.states(launch) == {})
    assert attempts.last_code(members["b"]) == 42
    assert [line.split()[1] for line in table(load_launch(launch.workdir)).splitlines()[1:3]] == [
        "done",
        "stopped",
    ]
    execute(launch, slurm.plan(launch), silent)
    until((members["b"] / "DONE").exists)
    assert attempts.count(members["a"]) == attempts.count(members["b"]) == 2


@pytest.mark.usefixtures("cluster")
def test_a_job_that_is_cancelled_does_not_come_back(tmp_path: pathlib.Path) -> None:
    python = stand_in(tmp_path / "python", "wait 0")
    launch = dataclasses.replace(slurm_launch(tmp_path / "w", "a", python=python), prepare=())
    execute(launch, slurm.plan(launch), silent)
    until((launch.workdir / "a" / "ready").exists)
    shell("scancel", "1")
    until(lambda: slurm.states(launch) == {})
    assert attempts.last_code(launch.workdir / "a") == 42, "it saves all the same"


@pytest.mark.usefixtures("cluster")
def test_the_final_code_of_one_task_counts(tmp_path: pathlib.Path) -> None:
    """srun itself ends with 134, the highest."""
    python = tmp_path / "python"
    tasks = 'if [ "$SLURM_PROCID" = 0 ]; then exit 65; fi; kill -ABRT $$'
    train = f'if [ "$2" = toto_jax.main ]; then echo "$SLURM_STEP_TASKS_PER_NODE tasks"; {tasks}; fi'
    install(python, f'#!/bin/sh\n{train}\nexec "{sys.executable}" "$@"\n')
    options = {"python": str(python), "tasks_per_node": 2, "sbatch": "--overcommit"}
    launch = dataclasses.replace(slurm_launch(tmp_path / "w", "a", **options), prepare=())
    execute(launch, slurm.plan(launch), silent)
    folder = launch.workdir / "a"
    until(lambda: attempts.last_code(folder) is not None)
    log = attempts.last_log(folder)
    assert log is not None
    assert log.read_text().count("2 tasks") == 2
    assert "task 1: Aborted" in log.read_text()
    assert attempts.last_code(folder) == 65
