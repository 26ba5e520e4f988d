"""The command beside a run: it follows the run's log, survives a kill, and says what can't be."""

import json
import pathlib
import signal
import time

from tests.processes import TINY, end, start
from toto_jax.data.manifest import read_manifest
from toto_jax.errors import ConfigError

FLAGS = [*TINY, "--config.data.window=1", "--config.train.batch_size=1", "--look_seconds=0.05"]


def test_it_comes_back_after_a_kill(finished: pathlib.Path, tmp_path: pathlib.Path) -> None:
    source, shards = finished / "shards", tmp_path / "local"
    train = shards / "media" / "train"
    flags = [
        *FLAGS, f"--workdir={tmp_path / 'run'}", f"--source={source}", f"--config.data.shards={shards}",
        "--config.train.steps=400", "--gigabytes=0.002",
    ]  # fmt: skip
    process = start("data.stage", *flags)
    deadline = time.monotonic() + 60
    while not (train / "manifest.json").exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    for path in train.glob("*.array_record"):
        path.unlink()
    assert "holds what comes next" in end(start("data.stage", *flags, "--once"), 0)
    manifest = read_manifest(source / "media" / "train")
    assert [path.name for path in sorted(train.glob("*.array_record"))] == [s.file for s in manifest.shards]
    assert (shards / "media" / "validation" / "manifest.json").exists()


def test_it_ends_with_the_run_and_says_what_cannot_be(finished: pathlib.Path, tmp_path: pathlib.Path) -> None:
    common = [*FLAGS, f"--workdir={tmp_path}", f"--source={finished / 'shards'}"]
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 12, "kind": "train"}) + "\n")
    little = start(
        "data.stage", *common, "--gigabytes=0.000001", f"--config.data.shards={tmp_path / 'little'}"
    )
    done = start("data.stage", *common, "--config.train.steps=12")
    assert "--gigabytes=1e-06 is too little" in end(little, ConfigError.exit_code)
    assert not (tmp_path / "little").exists()
    assert "The run has done its 12 steps" in end(done, 0)
