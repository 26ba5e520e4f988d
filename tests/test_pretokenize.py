"""The entry point in a process of its own: summary, exit codes, and errors without tracebacks."""

import os
import pathlib
import subprocess
import sys

import pytest

from toto_jax.data.manifest import verify

ROOT = pathlib.Path(__file__).resolve().parents[1]
SMALL = ("clips.size=16", "clips.frames=4", "clips.synthetic_clips=20", "tokenizer.kind=pixels")


def run(workdir: pathlib.Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "toto_jax.pretokenize", "--config=configs/default.py"]
    flags = [f"--workdir={workdir}", *(f"--config.{override}" for override in (*SMALL, *overrides))]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    return subprocess.run(
        [*command, *flags], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )


def test_shards_go_to_the_first_source_of_the_workdir(tmp_path: pathlib.Path) -> None:
    done = run(tmp_path, "data.media=synthetic", "data.labels=layout", "clips.validation_percent=10")
    assert done.returncode == 0, done.stderr
    shards = tmp_path / "shards" / "media"
    assert [verify(shards / split).records for split in ("train", "validation")] == [18, 2]
    assert f"{shards / 'train'}: 18 clips of 4 x 16 x 16 x 3 pixels in 1 shards" in done.stdout
    assert "clips/s" in done.stderr


@pytest.mark.parametrize(
    ("overrides", "code", "message"),
    [
        (["data.media=/nowhere"], 65, "DataError: config.data.media='/nowhere' is neither"),
        (["data.media="], 64, "ConfigError: config.data.media is empty"),
        (["data.media=synthetic", "clips.frames=0"], 64, "ConfigError: config.clips.frames must be"),
        (["data.media=synthetic", "tokenizer.kind=dvae"], None, "tokenizer"),
    ],
)
def test_errors_are_a_message_and_an_exit_code(
    tmp_path: pathlib.Path, overrides: list[str], code: int | None, message: str
) -> None:
    done = run(tmp_path, *overrides)
    assert done.returncode == code if code else done.returncode in (64, 65, 66)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "shards").exists()
