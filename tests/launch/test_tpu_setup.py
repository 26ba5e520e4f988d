"""What is run on the workers of a TPU VM before the training, in the training's shell."""

import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from launch import attempts, locks, tpu_vm
from launch.supervisor import spawn
from tests.launch.fakes import fake_gcloud, fake_programs, install
from tests.launch.stand_in import stand_in
from tests.launch.tpu_attempts import ROOT, attempt, tpu_launch


@pytest.mark.parametrize(
    "setup", ["echo no such package; exit 64", "set -e; echo no such package; false; true"]
)
def test_a_setup_that_fails_is_a_failure_and_no_end_of_the_training(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, setup: str
) -> None:
    fake_gcloud(tmp_path / "bin", monkeypatch, state="ACTIVE", workers=2)
    code, log = attempt(tpu_launch(tmp_path / "w", setup=setup))
    assert code == 1, "64 would be final, and that is the training's to say"
    assert log.count("no such package") == log.count("launch: before the training: exit code") == 2
    assert "launch: exit code" not in log


def test_workers_without_the_code_are_a_failure(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_gcloud(tmp_path / "bin", monkeypatch, state="ACTIVE")
    assert attempt(tpu_launch(tmp_path / "w", code="/not/there"))[0] == 1


def test_a_stop_during_the_setup_reaches_the_training(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_gcloud(tmp_path / "bin", monkeypatch, state="ACTIVE")
    python, begun = stand_in(tmp_path / "python", "wait"), tmp_path / "begun"
    launch = tpu_launch(tmp_path / "w", python=python, setup=f"touch '{begun}'; sleep 2")
    (action,) = tpu_vm.plan(launch)
    process = spawn(action.commands["a"], tmp_path / "launch.log")
    try:
        deadline = time.monotonic() + 20
        while not begun.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        locks.tell(attempts.lock_of(launch.workdir / "a"), signal.SIGTERM)
        assert process.wait(timeout=15) == 42
    finally:
        locks.tell(attempts.lock_of(launch.workdir / "a"), signal.SIGKILL)


def test_the_documented_setup_mends_what_was_cut_short_and_pins_the_commit(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "launching.md").read_text()
    (text,) = re.findall(
        r'^setup="commit=\$\(git rev-parse HEAD\)"\'\n(.*?)\'$', page, re.DOTALL | re.MULTILINE
    )
    origin, home, tools = tmp_path / "origin", tmp_path / "home", tmp_path / "home" / ".local" / "bin"
    tools.mkdir(parents=True)

    def git(*words: str) -> str:
        command = ["git", "-C", str(origin), "-c", "user.name=a", "-c", "user.email=a@example.com", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    subprocess.run(["git", "init", "-q", str(origin)], check=True)
    git("commit", "-q", "--allow-empty", "-m", "one")
    fake_programs(tmp_path / "bin", monkeypatch, python3="")
    # The first installation is cut short.
    uv = f'#!/bin/sh\necho "$1" >> {home}/uv\nmkdir -p venv/bin; echo "ACTIVE=yes" > venv/bin/activate\n'
    install(
        tools / "uv", f"{uv}[ $1 = venv ] || [ -e {home}/second ] || {{ touch {home}/second; exit 2; }}\n"
    )
    text = text.replace("https://github.com/you/toto_jax", str(origin))

    def setup() -> tuple[int, list[str]]:
        line = f"commit={git('rev-parse', 'HEAD')}\n{text}; code=$?; echo $ACTIVE; exit $code"
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=home,
            env={**os.environ, "HOME": str(home)},
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout.split()

    assert setup() == (2, [])
    assert setup() == setup() == (0, ["yes"])
    assert (home / "uv").read_text() == "venv\npip\n" * 2, "what is installed is left alone"
    git("commit", "-q", "--allow-empty", "-m", "two")
    assert setup() == (0, ["yes"])
    assert (home / "uv").read_text() == "venv\npip\n" * 3
    assert (home / "toto_jax" / ".installed").read_text().strip() == git("rev-parse", "HEAD")
