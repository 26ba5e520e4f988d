"""A real engine of two processes on this machine; Dataflow, Flink and Spark take the same pipeline."""

import os
import pathlib
import subprocess
import sys

import pytest

from tests.data.whole_job import hashes

ROOT = pathlib.Path(__file__).resolve().parents[2]
SMALL = ("clips.size=16", "clips.frames=4", "clips.synthetic_clips=20", "clips.files_per_shard=3")
MEDIA = ("data.media=synthetic", "tokenizer.kind=pixels", "decoding.processes=1")


def run(module: str, workdir: pathlib.Path, *words: str) -> subprocess.CompletedProcess[str]:
    flags = [
        "--config=configs/default.py",
        f"--workdir={workdir}",
        *(f"--config.{word}" for word in SMALL + MEDIA),
    ]
    return subprocess.run(
        [sys.executable, "-m", f"toto_jax.{module}", *flags, *words],
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_an_engine_writes_the_bytes_that_a_worker_writes(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("apache_beam", reason="needs the extra beam")
    engine = [
        "--",
        "--runner=DirectRunner",
        "--direct_running_mode=multi_processing",
        "--direct_num_workers=2",
    ]
    done = run("data.on_beam", tmp_path / "beam", *engine)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "19 clips of 4 x 16 x 16 x 3 pixels in 7 shards" in done.stdout
    assert run("pretokenize", tmp_path / "worker").returncode == 0
    assert hashes(tmp_path / "beam") == hashes(tmp_path / "worker")


def test_the_extra_is_named_where_it_is_missing(tmp_path: pathlib.Path) -> None:
    try:
        import apache_beam  # noqa: F401
    except ImportError:
        done = run("data.on_beam", tmp_path)
        assert done.returncode == 64
        assert "pip install 'toto_jax[beam]'" in done.stderr
    else:
        pytest.skip("apache-beam is installed")
