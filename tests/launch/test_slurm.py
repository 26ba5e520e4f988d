"""Submission to Slurm: against stand-ins for its commands, and on a real one where it is installed."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from launch import attempts, slurm
from launch.actions import Write
from launch.launching import Launch, execute
from launch.members import Member, store_members
from launch.retry import Budgets
from launch.table import table
from tests.launch.fakes import calls, fake_programs, install
from tests.launch.stand_in import stand_in
from toto_jax.errors import ConfigError

ROOT = pathlib.Path(__file__).resolve().parents[2]


def slurm_launch(workdir: pathlib.Path, names: str, **options: str | int) -> Launch:
    members = tuple(
        Member(name, name, json.dumps({"name": name, "train": {"steps": 9}}), {}) for name in names.split()
    )
    store_members(workdir, members)
    launch = Launch(
        workdir, "rates", "slurm", slurm.Options(**options), members, (("python", "-m", "prepare it"),), 2,
        Budgets(-1, 3), 20.0,
    )  # fmt: skip
    launch.save()
    return launch


def silent(line: str) -> None:
    del line


def test_where_slurm_is_not_installed(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        ConfigError, match="'sbatch' is not on PATH: it belongs to Slurm; run this where jobs are"
    ):
        slurm.get_ready(slurm_launch(tmp_path, "a"))


def test_only_members_that_are_not_settled_are_submitted(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_programs(tmp_path / "bin", monkeypatch, sbatch="17;cluster", squeue="")
    launch = slurm_launch(tmp_path, "a b c d")
    for name, code in (("a", 0), ("c", 67)):
        attempts.end(tmp_path / name, attempts.begin(tmp_path / name), code, 5)
    execute(launch, slurm.plan(launch), silent)
    assert "#SBATCH --array=1,3%2" in (tmp_path / "job.sh").read_text()
    assert calls(tmp_path / "bin") == [
        ["sbatch", "--wait", f"{tmp_path}/prepare.sh"], ["sbatch", "--parsable", f"{tmp_path}/job.sh"]
    ]  # fmt: skip
    execute(launch, slurm.plan(launch), silent)
    assert len(calls(tmp_path / "bin")) == 3, "the preparation is done once"
    for name in "bd":
        attempts.end(tmp_path / name, attempts.begin(tmp_path / name), 0, 5)
    assert slurm.plan(launch) == []


def test_the_queue_is_read_and_emptied(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_programs(
        tmp_path / "bin", monkeypatch, sbatch="17", squeue="0 RUNNING\n2 PENDING\n1 SUSPENDED", scancel=""
    )
    launch = slurm_launch(tmp_path, "a b c d")
    assert slurm.states(launch) == {}, "nothing was submitted yet"
    execute(launch, slurm.plan(launch), silent)
    assert slurm.states(launch) == {"a": "running", "b": "suspended", "c": "queued"}
    assert [line.split()[1] for line in table(launch).splitlines()[1:4]] == ["running", "suspended", "queued"]
    with pytest.raises(ConfigError, match=r"3 member\(s\) are in the queue as job 17: a, b, c"):
        slurm.get_ready(launch)
    assert slurm.stop(launch) == ["a", "b", "c"]
    assert calls(tmp_path / "bin")[-2:] == [
        ["scancel", "--state=PENDING", "17"], ["scancel", "--state=RUNNING", "--signal=TERM", "17"]
    ]  # fmt: skip
    assert (tmp_path / "STOP").exists()


def test_a_preparation_is_one_task_on_one_node(tmp_path: pathlib.Path) -> None:
    launch = slurm_launch(tmp_path, "a", nodes=8, tasks_per_node=2)
    prepare, job = (action.text for action in slurm.plan(launch) if isinstance(action, Write))
    assert "#SBATCH --nodes=1\n#SBATCH --ntasks-per-node=1\n" in prepare
    assert "#SBATCH --nodes=8\n#SBATCH --ntasks-per-node=2\n" in job


@pytest.mark.parametrize(("cpus", "seen"), [({"SLURM_CPUS_PER_TASK": "12"}, "12"), ({}, "unset")])
def test_srun_is_told_of_the_cpus_of_a_task(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, cpus: dict[str, str], seen: str
) -> None:
    launch = slurm_launch(tmp_path / "w", "a")
    scripts = [action.text for action in slurm.plan(launch) if isinstance(action, Write)]
    fake_programs(tmp_path / "bin", monkeypatch)
    for name in ("srun", "python3"):
        install(tmp_path / "bin" / name, '#!/bin/sh\necho "${SRUN_CPUS_PER_TASK-unset}"\n')
    for script in scripts:
        array = {"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_JOB_ID": "7"}
        environment = {**os.environ, **array, **cpus}
        done = subprocess.run(
            ["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        assert done.stdout.split() == [seen], done.stderr


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (
            "srun: error: n3: task 9: Aborted (core dumped)\nsrun: error: n1: tasks 0-7: Exited with exit code 65",
            65,
        ),
        (
            "srun: error: n3: task 9: Aborted (core dumped)\nsrun: error: n1: task 0: Exited with exit code 44",
            134,
        ),
        ("task 9: Exited with exit code 65", 134),
    ],
)
def test_a_final_code_of_one_task_is_not_hidden_by_the_highest(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, said: str, code: int
) -> None:
    fake_programs(tmp_path / "bin", monkeypatch)
    install(tmp_path / "bin" / "srun", f"#!/bin/sh\necho '{said}' >&2\nexit 134\n")
    words = [
        sys.executable,
        "-m",
        "launch.attempt",
        f"--folder={tmp_path / 'a'}",
        "--nohand_on",
        "--",
        "srun",
        "x",
    ]
    subprocess.run(words, cwd=ROOT, check=False)
    assert attempts.last_code(tmp_path / "a") == code


def test_flags_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="--sbatch: 'gpu' is no option"):
        slurm.Options(sbatch="--partition gpu")
    with pytest.raises(ConfigError, match="--nodes=0"):
        slurm.Options(nodes=0)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_the_shell_lines_are_sound(tmp_path: pathlib.Path) -> None:
    launch = slurm_launch(tmp_path, "a b", setup="module load cuda")
    written = [action for action in slurm.plan(launch) if isinstance(action, Write)]
    for action in written:
        action.path.write_text(action.text)
    scripts = [action.path for action in written]
    done = subprocess.run(
        ["shellcheck", *map(str, [*(ROOT / "launch").glob("*.sh"), *scripts])], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_words_stay_whole_on_their_way_through_the_shell(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job is run by bash, with stand-ins for srun and for Python that write down what they are given."""
    workdir = tmp_path / "a folder; with $(touch traps)"
    launch = slurm_launch(workdir, "a b")
    script = [action.text for action in slurm.plan(launch) if isinstance(action, Write)][-1]
    fake_programs(tmp_path / "bin", monkeypatch, python3="")
    subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        env={**os.environ, "SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_JOB_ID": "7"},
        check=True,
    )
    assert calls(tmp_path / "bin") == [
        [
            "python3", "-m", "launch.attempt", f"--folder={workdir}/b", "--grace_seconds=20", "--preemptions=-1",
            "--failures=3", "--nohand_on", "--", "srun", "--wait=20", "python3", "-m", "toto_jax.main",
            f"--config=configs/resolved.py:{workdir}/configs/b.json", f"--workdir={workdir}/b",
        ]
    ]  # fmt: skip


def test_the_stand_in_runs_the_launcher_and_the_dummy(tmp_path: pathlib.Path) -> None:
    python = stand_in(tmp_path / "python", "65")
    done = subprocess.run([python, "-m", "toto_jax.main", "--config=x", f"--workdir={tmp_path / 'a'}"])
    assert done.returncode == 65
    assert subprocess.run([python, "-c", "import sys; sys.exit(7)"]).returncode == 7
    assert sys.executable in pathlib.Path(python).read_text()
