"""The command that launches a sweep: overrides of what members start from, and the workdir as members see it."""

import json
import pathlib
import subprocess
import sys

import pytest

from launch import gke, local, slurm, tpu_vm
from launch.members import expand
from tests.launch import tiny_sweep

ROOT = pathlib.Path(__file__).resolve().parents[2]
GKE = "--backend=gke --image=i --accelerator=tpu-v5p-slice --topology=2x2x1 --claim=runs --mount=/mnt/runs --queue=q"


def sweep(words: str, workdir: pathlib.Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "launch.sweep", f"--workdir={workdir}", *words.split(), "--dry_run"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def listed(printed: str) -> dict[str, str]:
    """Returns member -> digest of its config, of the sweep.jsonl that a dry run prints."""
    lines = [
        json.loads(line.removeprefix("  | "))
        for line in printed.splitlines()
        if line.startswith('  | {"name"')
    ]
    return {line["name"]: line["digest"] for line in lines}


def test_overrides_are_what_members_start_from(tmp_path: pathlib.Path) -> None:
    file = "tests/launch/tiny_sweep.py:/given/shards"
    words = f"--sweep={file} --backend=local --config.data.shards=/elsewhere --config.train.steps=7"
    done = sweep(f"{words} --config.optimizer.learning_rate=1.0", tmp_path)
    assert done.returncode == 0, done.stderr
    base = tiny_sweep.get_config("/elsewhere")
    base.train.steps = 7
    wanted = expand(file, tmp_path, base).members
    assert listed(done.stdout) == {member.name: member.digest for member in wanted}, "members' own come after"
    assert [json.loads(member.config)["data"]["shards"] for member in wanted] == ["/elsewhere"] * 2
    assert [json.loads(member.config)["optimizer"]["learning_rate"] for member in wanted] == [1e-3, 4e-3]
    assert "--config=tests/launch/tiny_sweep.py:/given/shards --workdir=" in done.stdout, "preparations stay"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("small --config.data.shrads=/x", 'Did you mean "shards"'),
        ("small --config.train.steps=many", "--config.train.steps=many: invalid literal"),
        ("tiny", "ConfigError: configs/sweeps/mup_lr.py knows '', 'small', 'standard', not 'tiny'"),
        ("small --dry_ran", "Unknown command line flag 'dry_ran'. Did you mean: dry_run"),
    ],
)
def test_mistakes_on_the_command_line(tmp_path: pathlib.Path, words: str, message: str) -> None:
    done = sweep(f"--backend=local --sweep=configs/sweeps/mup_lr.py:{words}", tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (64, False), done.stderr
    assert message in done.stderr


@pytest.fixture
def shared(tmp_path: pathlib.Path) -> str:
    """A sweep whose members find what they share in the workdir."""
    file = tmp_path / "shared.py"
    file.write_text(
        "from tests.launch.tiny_sweep import get_config, prepare\n\n"
        "def members(variant, workdir):\n    yield 'a', {'data.shards': str(workdir / 'prepared' / 'shards')}\n"
    )
    return f"{file}:/any/shards"


def test_members_are_told_of_the_workdir_as_they_see_it(tmp_path: pathlib.Path, shared: str) -> None:
    done = sweep(f"--sweep={shared} {GKE} --prepared", tmp_path / "rates")
    assert done.returncode == 0, done.stderr
    (member,) = expand(shared, pathlib.Path("/mnt/runs/rates")).members
    assert listed(done.stdout) == {"a": member.digest}
    assert json.loads(member.config)["data"]["shards"] == "/mnt/runs/rates/prepared/shards"


def test_a_preparation_is_listed_with_the_workdir_as_members_see_it(
    tmp_path: pathlib.Path, shared: str
) -> None:
    done = sweep(f"--sweep={shared} {GKE}", tmp_path / "rates")
    assert done.returncode == 64
    assert "--workdir=/mnt/runs/rates/prepared" in done.stderr


def test_what_members_call_the_workdir() -> None:
    here = pathlib.Path("/nfs/runs/law")
    assert local.Options().workdir_there(here) == slurm.Options().workdir_there(here) == here
    place = {"zone": "z", "accelerator_type": "v4-8", "runtime_version": "base"}
    assert tpu_vm.Options(**place).workdir_there(here) == here
    assert tpu_vm.Options(**place, remote_workdir="/mnt/law").workdir_there(here) == pathlib.Path("/mnt/law")
    slice_ = {"image": "i", "accelerator": "a", "topology": "2x2", "claim": "c"}
    assert gke.Options(**slice_).workdir_there(here) == pathlib.Path("/runs/law")
