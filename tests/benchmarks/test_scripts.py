"""Each script at its smallest size. Those that need torch, or half a minute, are run with the other references."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from tests.processes import ROOT


def run(script: str, folder: pathlib.Path, *arguments: str) -> list[dict[str, float]]:
    """Runs a script as a user does and returns its rows."""
    command = [sys.executable, "-m", f"benchmarks.{script}", "--smoke", f"--out={folder}", *arguments]
    environment = {**os.environ, "XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-1000:]
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
