"""Each script at its smallest size. Those that need torch, or half a minute, are run with the other references."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image

from benchmarks.scans import recurrence
from tests.processes import ROOT
from toto_jax.models.selective_scan import selective_scan


def run_script(script: str, *arguments: str) -> None:
    """Runs a script as a user does."""
    command = [sys.executable, "-m", f"benchmarks.{script}", *arguments]
    environment = {**os.environ, "XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-1000:]


def run(script: str, folder: pathlib.Path, *arguments: str) -> list[dict[str, float]]:
    """Runs a script at its smallest size and returns its rows."""
    run_script(script, "--smoke", f"--out={folder}", *arguments)
    assert f"python -m benchmarks.{script} --smoke" in (folder / f"{script}.md").read_text()
    return json.loads((folder / f"{script}.json").read_text())["rows"]


def test_pipeline(tmp_path: pathlib.Path) -> None:
    rows = run("pipeline", tmp_path)
    assert [row["contestant"] for row in rows] == ["ours", "in order", "memmap", "bytes only"]
    assert all(row["Mtokens/s a core"] > 0 for row in rows)


@pytest.mark.reference
def test_many_shards(tmp_path: pathlib.Path) -> None:
    limit, ours, windows, left_open = run("many_shards", tmp_path)
    assert all(row["records/s a core"] > 0 for row in (limit, ours, windows, left_open))
    # 256 at most, and what any process has open; ArrayRecord's own keeps all 300.
    assert max(ours["open files"], windows["open files"]) < 290 < 300 < left_open["open files"]


@pytest.mark.reference
def test_checkpoint(tmp_path: pathlib.Path) -> None:
    ours, synchronous = run("checkpoint", tmp_path)
    assert (ours["contestant"], synchronous["contestant"]) == ("ours", "synchronous save")
    assert 0 < ours["the call, s"] <= ours["until written, s"]


def test_scaling(tmp_path: pathlib.Path) -> None:
    (row,) = run("scaling", tmp_path, "--only=32 tokens")
    assert row["size"] == 32
    assert min(row["s/step"], row["compile, s"]) > 0


@pytest.mark.reference
def test_selective_scan(tmp_path: pathlib.Path) -> None:
    """The peer computes the same, and holds what chunks don't."""
    rows = run("selective_scan", tmp_path)
    assert [row["scan"] for row in rows] == ["position by position", "chunks of 16", "chunks of 64"]
    assert all(row["faster than one by one"] > 0 for row in rows)
    given = [jax.random.uniform(key, (2, 9, 4)) for key in jax.random.split(jax.random.key(0), 4)]
    a_NI, u_BTI, delta_BTI, b_BTN, c_BTN = -given[0][0, :4], *given
    ours_BTI, _ = selective_scan(u_BTI, delta_BTI, a_NI, b_BTN, c_BTN, jax.numpy.zeros((2, 4, 4)), 4)
    np.testing.assert_allclose(recurrence(u_BTI, delta_BTI, a_NI, b_BTN, c_BTN), ours_BTI, rtol=1e-5)


@pytest.mark.reference
def test_first_step(tmp_path: pathlib.Path) -> None:
    cold, warm = run("first_step", tmp_path)
    assert (cold["cache"], warm["cache"]) == ("cold", "warm")
    assert warm["CPU-s"] < cold["CPU-s"]


@pytest.mark.reference
def test_train_step(tmp_path: pathlib.Path) -> None:
    """The script itself stops unless torch's loss is ours."""
    pytest.importorskip("transformers", reason="the peer is transformers' LLaMA")
    rows = run("train_step", tmp_path, "--only=eager,matmul XLA")
    assert [row["contestant"].split()[0] for row in rows] == 2 * ["ours", "torch", "matmul"]
    assert rows[1]["ours is faster by"] > 0


@pytest.mark.reference
def test_decoding(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("transformers", reason="the peer is transformers.generate")
    rows = run("decoding", tmp_path)
    assert [row["same ids"] for row in rows] == 4 * ["100%"]


@pytest.mark.reference
def test_tokenizer(tmp_path: pathlib.Path) -> None:
    """The script itself stops unless the package's codes are ours."""
    pytest.importorskip("dall_e", reason="the peer is OpenAI's package: pip install --no-deps DALL-E==0.1")
    rows = run("tokenizer", tmp_path, "--only=eager")
    assert [row["contestant"] for row in rows] == ["ours", "DALL-E eager"]


@pytest.mark.reference
def test_comparison(tmp_path: pathlib.Path) -> None:
    """One tokenizer of the comparison on pictures of noise, trained for two steps; run again, nothing is done again."""
    rng, videos = np.random.default_rng(0), tmp_path / "videos.txt"
    clips = [f"clips/{name}" for name in "abcdefgh"]
    folders = [*(f"photos/{part}/{name}" for part in ("train", "val") for name in ("hat", "shoe")), *clips]
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
        for number in range(20):
            picture = rng.integers(0, 256, (36, 36, 3), np.uint8)
            Image.fromarray(picture).save(tmp_path / folder / f"{number:02}.png")
    videos.write_text("\n".join(clips))
    words = [
        f"--photos={tmp_path / 'photos'}",
        f"--videos={videos}",
        f"--out={tmp_path / 'out'}",
        "--seeds=1",
    ]
    words += [
        "--only=fsq",
        "--set=train.steps=2",
        "--set=optimizer.warmup_steps=1",
        "--set=clips.per_video=1",
    ]
    run_script("comparison", *words)
    (numbers,) = json.loads((tmp_path / "out" / "comparison.json").read_text())["runs"]["fsq"]
    table = (tmp_path / "out" / "comparison.md").read_text()
    assert 0 < numbers["percent_codes_used"] <= 100
    assert 0 < numbers["coverage_2"] <= 100
    assert "of 40 held-out photos, of 2 classes: by chance 50.0% are right, 50.0% by always" in table
    assert numbers["photos_loss"] != numbers["videos_loss"]
    assert f"| fsq | {numbers['psnr_db']:.3g} |" in table
    began = (tmp_path / "out" / "fsq_0" / "metrics.jsonl").stat().st_mtime_ns
    run_script("comparison", *words)
    assert (tmp_path / "out" / "fsq_0" / "metrics.jsonl").stat().st_mtime_ns == began
