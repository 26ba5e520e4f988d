"""What --dry_run prints for each backend, as files to be read; and the commands themselves.

  UPDATE_GOLDEN=1 python -m pytest tests/launch/test_dry_runs.py

writes the files anew after a change that was meant.
"""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from configs import quickstart
from launch.actions import render
from launch.launching import BACKENDS, ROOT, Launch, backend_module
from launch.members import Member, single
from launch.retry import Budgets

GOLDEN = pathlib.Path(__file__).with_name("golden")
TPU = {"zone": "us-central2-b", "accelerator_type": "v4-32", "runtime_version": "tpu-ubuntu2204-base"}
CASES = {
    "local_run": ("local", {"processes": 2, "devices": 4}),
    "local_sweep": ("local", {}),
    "slurm_run": ("slurm", {"nodes": 8, "tasks_per_node": 1, "sbatch": "--partition=gpu --gpus-per-node=8"}),
    "slurm_sweep": ("slurm", {"setup": "source /nfs/venv/bin/activate"}),
    "tpu_vm_run": ("tpu_vm", {**TPU, "project": "mine", "gcloud": "--reserved"}),
    "tpu_vm_sweep": (
        "tpu_vm",
        {
            **TPU,
            "spot": True,
            "setup": "test -d toto_jax || git clone https://example.com/toto_jax.git",
            "remote_workdir": "/mnt/runs/rates",
            "prepared": True,
        },
    ),
    "gke_run": (
        "gke",
        {
            "image": "example.com/toto:1", "accelerator": "tpu-v5p-slice", "topology": "2x2x4", "hosts": 4,
            "claim": "runs",
        },
    ),
    "gke_sweep": (
        "gke",
        {
            "image": "example.com/toto:1", "accelerator": "tpu-v5p-slice", "topology": "2x2x1", "claim": "runs",
            "queue": "tpus", "prepared": True,
        },
    ),
}  # fmt: skip


def launch_of(case: str) -> Launch:
    backend, options = CASES[case]
    options = backend_module(backend).Options(**options)
    workdir = pathlib.Path("/nfs/runs/rates")
    if case.endswith("_run"):
        members = (Member("base-0a1b2c3d", ".", "{}"),)
        return Launch(workdir, "base-0a1b2c3d", backend, options, members, (), 1, Budgets(-1, 3), 120.0)
    members = tuple(
        Member(f"lr{rate}", f"lr{rate}", json.dumps({"rate": rate})) for rate in ("0.001", "0.004")
    )
    prepare = (
        ("python", "-m", "toto_jax.pretokenize", "--config=configs/base.py", "--workdir=/nfs/runs/shared"),
    )
    return Launch(workdir, "rates", backend, options, members, prepare, 2, Budgets(-1, 3), 120.0)


@pytest.mark.parametrize("case", CASES)
def test_a_dry_run_is_what_it_was(case: str) -> None:
    launch = launch_of(case)
    text = render(backend_module(launch.backend).plan(launch))
    text = text.replace(sys.executable, "/usr/bin/python3").replace(str(ROOT), "/home/me/toto_jax")
    path = GOLDEN / f"{case}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_every_backend_has_its_files() -> None:
    assert {backend for backend, _ in CASES.values()} == set(BACKENDS)
    assert {path.stem for path in GOLDEN.iterdir()} == set(CASES)


def test_the_page_shows_them_as_they_are() -> None:
    page = (ROOT / "docs" / "launching.md").read_text()
    assert (GOLDEN / "slurm_run.txt").read_text() in page
    commands = [
        line for line in (GOLDEN / "tpu_vm_run.txt").read_text().splitlines() if line.startswith("#   ")
    ]
    assert len(commands) == 6
    assert "\n".join(line.removeprefix("#   ") for line in commands) in page


def command(module: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"launch.{module}", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_overrides_and_a_dry_run_that_writes_nothing(tmp_path: pathlib.Path) -> None:
    words = ["--config=configs/quickstart.py", "--backend=local", f"--workdir={tmp_path / 'w'}", "--dry_run"]
    done = command("run", *words, "--config.seed=5", "--processes=2", "--", "--config.train.steps=7")
    assert done.returncode == 0, done.stderr
    config = quickstart.get_config()
    config.train.steps, config.seed = 7, 5
    assert single("configs/quickstart.py", config).name in done.stdout
    assert "--processes=2" in done.stdout
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--backend=slrum"], "--backend=slrum is unknown; did you mean 'slurm'"),
        (["--backend=local", "--zone=x"], "--zone belongs to --backend=tpu_vm, not to local"),
        (["--backend=gke"], "--backend=gke needs --image"),
        (["--backend=local", "--preemptions=-7"], "--preemptions=-7"),
        (["--backend=local", "--workdir=gs://bucket/x"], "is a URL; mount it"),
    ],
)
def test_mistakes_on_the_command_line(tmp_path: pathlib.Path, words: list[str], message: str) -> None:
    done = command("run", "--config=configs/quickstart.py", f"--workdir={tmp_path}", *words)
    assert done.returncode == 64, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_without_a_launch(tmp_path: pathlib.Path) -> None:
    for module in ("status", "stop", "resume"):
        done = command(module, f"--workdir={tmp_path}")
        assert done.returncode == 64
        assert "holds no launch (sweep.jsonl is missing)" in done.stderr
