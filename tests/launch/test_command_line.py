"""How the launcher's commands may be typed, and how they end where nobody reads on."""

import pathlib
import subprocess
import sys

import pytest
from absl import flags

from launch.command_line import as_defined

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("typed", "defined"),
    [
        ("--dry-run --tasks-per-node=2", "--dry_run --tasks_per_node=2"),
        ("--dry_run -tasks_per-node 2", "--dry_run -tasks_per_node 2"),
        ("--no-dry-run --nodry-run --nodry_run", "--nodry_run --nodry_run --nodry_run"),
        ("--sbatch=--dry-run --sbatch --dry-run", "--sbatch=--dry-run --sbatch --dry-run"),
        ("--dry-run --sbatch --dry-run --dry-run", "--dry_run --sbatch --dry-run --dry_run"),
        ("--config.data.some-key=a-b --dry-ran word-s", "--config.data.some-key=a-b --dry-ran word-s"),
    ],
)
def test_dashes_and_underscores_are_one(typed: str, defined: str) -> None:
    known = flags.FlagValues()
    flags.DEFINE_bool("dry_run", False, "", flag_values=known)
    flags.DEFINE_integer("tasks_per_node", 1, "", flag_values=known)
    flags.DEFINE_string("sbatch", "", "", flag_values=known)
    assert as_defined(typed.split(), known) == defined.split()


def run(tmp_path: pathlib.Path, words: str, shell: str = "") -> subprocess.CompletedProcess[str]:
    line = f"{sys.executable} -m launch.run --config=configs/quickstart.py --workdir={tmp_path / 'w'} {words} {shell}"
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


def test_a_dry_run_as_people_spell_it(tmp_path: pathlib.Path) -> None:
    done = run(tmp_path, "--backend=slurm --dry-run --tasks-per-node=2")
    assert done.returncode == 0, done.stderr
    assert "#SBATCH --ntasks-per-node=2" in done.stdout
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize("words", ["--backend=slurm --dry-run", "--help"])
def test_a_reader_that_has_seen_enough(tmp_path: pathlib.Path, words: str) -> None:
    done = run(tmp_path, words, "| true")
    assert done.returncode == 1
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("--config.data.shrads=/x", "key is not in the config: 'shrads' Did you mean \"shards\""),
        ("--config.train.steps.x=1", "Attempting to lookup: train.steps.x"),
    ],
)  # fmt: skip
def test_an_override_that_the_config_has_not(tmp_path: pathlib.Path, override: str, message: str) -> None:
    done = run(tmp_path, f"--backend=local --dry_run {override}")
    assert done.returncode == 64
    assert message in done.stderr
    assert "Traceback" not in done.stderr
