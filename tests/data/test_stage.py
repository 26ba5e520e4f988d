"""The command beside a run: it follows the run's log, survives a kill, and says what can't be."""

import json
import pathlib
import signal
import time

from tests.processes import TINY, end, start
from toto_jax.data.manifest import read_manifest
from toto_jax.errors import ConfigError

# 54 clips in shards of 16 go by in two and a half batches a window.
FLAGS = [*TINY, "--config.data.window=1", "--config.data.workers=0", "--config.train.batch_size=1"]


def wait_for(what: str, condition: object) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_it_follows_the_runs_log_and_survives_a_kill(finished: pathlib.Path, tmp_path: pathlib.Path) -> None:
    source, shards, workdir = finished / "shards", tmp_path / "local", tmp_path / "run"
    train = shards / "media" / "train"
    flags = [
        *FLAGS, f"--workdir={workdir}", f"--source={source}", "--look_seconds=0.05", f"--config.data.shards={shards}",
        "--config.train.steps=400", "--gigabytes=0.002",
    ]  # fmt: skip
    end(start("data.stage", *flags, "--once"), 0)
    manifest = read_manifest(train)
    assert manifest.to_json() == (source / "media" / "train" / "manifest.json").read_text()
    assert (shards / "media" / "validation" / "manifest.json").exists()
    workdir.mkdir()

    def write(step: int) -> None:
        (workdir / "metrics.jsonl").write_text(json.dumps({"step": step, "kind": "train"}) + "\n")

    victim = next(path for path in sorted(train.glob("*.array_record")))
    victim.unlink()
    process = start("data.stage", *flags)
    wait_for("what is missing comes back", victim.exists)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    victim.unlink()
    process = start("data.stage", *flags)
    wait_for("and after a kill", victim.exists)
    write(400)
    assert "The run has done its 400 steps" in end(process, 0)


def test_what_cannot_be_staged_is_said(finished: pathlib.Path, tmp_path: pathlib.Path) -> None:
    common = [*TINY, f"--workdir={tmp_path}", f"--source={finished / 'shards'}"]
    cases = {
        "config.data.window=0 shuffles over all shards": [],
        "--gigabytes=1e-06 is too little": ["--config.data.window=1", "--gigabytes=0.000001"],
        "config.data.shards='gs://b/shards' is no folder": ["--config.data.shards=gs://b/shards"],
    }
    started = [start("data.stage", *common, *flags) for flags in cases.values()]
    for message, process in zip(cases, started, strict=True):
        assert message in end(process, ConfigError.exit_code)
    assert not any(tmp_path.iterdir())
