"""A launch from its beginning to its end: the real thing in miniature, and what a second launch makes of it."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import jax
import pytest

from launch import attempts, gke, launching
from launch.actions import Run
from launch.journal import read_journal
from launch.launching import execute, load_launch, start
from launch.members import load_members
from launch.table import table
from tests.launch.dummy_launch import dummy_launch
from toto_jax.errors import ConfigError, TotoError

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_a_small_sweep_is_prepared_trained_and_left_alone_when_it_is_done(tmp_path: pathlib.Path) -> None:
    words = [
        f"--sweep=tests/launch/tiny_sweep.py:{tmp_path}/prepared/shards", "--backend=local", "--parallel=2",
        f"--workdir={tmp_path}",
    ]  # fmt: skip
    variables = {
        "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "", "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir
    }  # fmt: skip
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "launch.sweep", *words],
            cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, timeout=200,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    launch = load_launch(tmp_path)
    assert [member.name for member in launch.members] == ["lr0.001", "lr0.004"]
    for member, rate in zip(launch.members, (1e-3, 4e-3), strict=True):
        folder = launch.folder(member)
        assert json.loads((folder / "DONE").read_text()) == {"code": 0, "step": 4}
        assert json.loads((folder / "config.json").read_text())["optimizer"]["learning_rate"] == rate
        assert attempts.count(folder) == 1
        assert (folder / "checkpoints" / "4").is_dir()
    actions = [line["action"] for line in read_journal(tmp_path)]
    assert actions.count("run") == 1, "the preparation is not made again"
    assert actions.count("start") == 2
    rows = [line.split() for line in table(launch).splitlines()]
    assert rows[1][:4] == ["lr0.001", "done", "1", "4/4"]
    assert 0.5 < float(rows[1][4]) < 1.5, "of patches that were normalised"
    assert rows[-1] == ["2", "done"]


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Configs of dummy trainers are none."""
    monkeypatch.setattr(launching, "check_configs", lambda launch: None)


@pytest.mark.usefixtures("unchecked")
def test_another_backend_wants_another_folder(tmp_path: pathlib.Path) -> None:
    launch, _ = dummy_launch(tmp_path, {"a": "0"}, 1)
    with pytest.raises(ConfigError, match="was launched with --backend=local; give that"):
        start(dataclasses.replace(launch, backend="slurm"), dry_run=False)


@pytest.mark.usefixtures("unchecked")
def test_nothing_is_written_where_the_plan_cannot_be(tmp_path: pathlib.Path) -> None:
    launch, _ = dummy_launch(tmp_path / "there", {"a": "0", "b": "1"}, 1)
    options = gke.Options(image="i", accelerator="a", topology="2x2", claim="c")
    elsewhere = dataclasses.replace(launch, workdir=tmp_path / "here", backend="gke", options=options)
    with pytest.raises(ConfigError, match="2 members would run at once"):
        start(elsewhere, dry_run=False)
    assert not (tmp_path / "here").exists()


def test_a_launch_is_read_back_as_it_was(tmp_path: pathlib.Path) -> None:
    launch, _ = dummy_launch(tmp_path, {"a": "0", "b": "1"}, 3, processes=2)
    assert load_launch(tmp_path) == launch
    assert load_members(tmp_path) == launch.members


def test_a_command_that_fails_stops_the_launch_and_is_made_again(tmp_path: pathlib.Path) -> None:
    launch, _ = dummy_launch(tmp_path, {"a": "0"}, 1)
    script = "if [ ! -e {0} ]; then touch {0}; echo not yet; exit 1; fi".format(tmp_path / "tried")
    command = Run(("sh", "-c", script), once=True)
    with pytest.raises(TotoError, match=r"ended with exit code 1; .*command-001.log ends:\nnot yet"):
        execute(launch, [command], lambda line: None)
    for _ in range(2):
        execute(launch, [command], lambda line: None)
    assert [line["code"] for line in read_journal(tmp_path)] == [1, 0], "and not once more when it went well"


def test_a_program_that_is_not_installed(tmp_path: pathlib.Path) -> None:
    launch, _ = dummy_launch(tmp_path, {"a": "0"}, 1)
    with pytest.raises(ConfigError, match="'frobnicate' is not on PATH"):
        execute(launch, [Run(("frobnicate",))], lambda line: None)
