"""The entry point in processes of its own: summary, exit codes, errors without tracebacks, and workers that share."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from tests.data.whole_job import hashes
from toto_jax.data.manifest import verify

ROOT = pathlib.Path(__file__).resolve().parents[1]
SMALL = ("clips.size=16", "clips.frames=4", "clips.synthetic_clips=20", "tokenizer.kind=pixels")


def command(workdir: pathlib.Path, *words: str) -> list[str]:
    """Words without dashes override the config."""
    flags = [word if word.startswith("--") else f"--config.{word}" for word in (*SMALL, *words)]
    fixed = ["--config=configs/default.py", f"--workdir={workdir}", "--config.decoding.processes=1"]
    return [sys.executable, "-m", "toto_jax.pretokenize", *fixed, *flags]


ENVIRONMENT = os.environ | {"JAX_PLATFORMS": "cpu"}


def run(workdir: pathlib.Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(workdir, *words),
        cwd=ROOT,
        env=ENVIRONMENT | variables,
        capture_output=True,
        text=True,
        timeout=120,
    )


def start(workdir: pathlib.Path, *words: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command(workdir, *words), cwd=ROOT, env=ENVIRONMENT, stdout=pipe, stderr=subprocess.STDOUT, text=True
    )


def test_shards_go_to_the_first_source_of_the_workdir(tmp_path: pathlib.Path) -> None:
    words = ("data.media=synthetic", "data.labels=layout", "clips.validation_percent=10")
    done = run(tmp_path, *words, f"--trace={tmp_path / 'trace.json'}")
    assert done.returncode == 0, done.stderr
    shards = tmp_path / "shards" / "media"
    assert [verify(shards / split).records for split in ("train", "validation")] == [18, 2]
    assert f"{shards / 'train'}: 18 clips of 4 x 16 x 16 x 3 pixels in 1 shards" in done.stdout
    assert "This worker wrote 20 clips" in done.stdout
    assert "20/20" in done.stderr
    assert "inputs/s" in done.stderr
    spans = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert sum(event["name"].startswith("down/") for event in spans) >= 2


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["data.media=/nowhere"], 65, "DataError: config.data.media='/nowhere' is neither"),
        (["data.media=synthetic", "--shard=3"], 64, "--shard=3: give i/n, for instance 0/8 to 7/8"),
        (["data.media=synthetic", "--verify"], 65, "Nobody has begun to write shards"),
    ],
)
def test_errors_are_a_message_and_an_exit_code(
    tmp_path: pathlib.Path, words: list[str], code: int, message: str
) -> None:
    done = run(tmp_path, *words)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "shards").exists()


@pytest.mark.parametrize(
    "variables",
    [
        {"SLURM_NTASKS": "3", "SLURM_PROCID": "1", "SLURM_JOB_ID": "7", "SLURM_STEP_NODELIST": "node[1-3]"},
        {"JAX_COORDINATOR_ADDRESS": "node1:9", "JAX_NUM_PROCESSES": "3", "JAX_PROCESS_ID": "1"},
    ],
    ids=["Slurm", "JAX"],
)
def test_a_process_of_a_job_takes_its_share_and_waits_for_nobody(
    tmp_path: pathlib.Path, variables: dict[str, str]
) -> None:
    """The first and the third never come; nor is there a coordinator."""
    words = ("data.media=synthetic", "clips.files_per_shard=5", "clips.validation_percent=0")
    done = run(tmp_path, *words, f"--trace={tmp_path / 'trace.json'}", **variables)
    assert done.returncode == 0, done.stderr
    train = tmp_path / "shards" / "media" / "train"
    assert verify(train).records == 20
    spans = [
        event for event in json.loads((tmp_path / "trace.json").read_text())["traceEvents"] if "ts" in event
    ]
    listed = [json.loads(line)["name"] for line in (train / "inputs.jsonl").read_text().splitlines()]
    cut = [span["name"] for span in sorted(spans, key=lambda span: span["ts"]) if span["name"] in listed]
    units = [listed.index(name) // 5 for name in dict.fromkeys(cut)]
    assert list(dict.fromkeys(units)) == [1, 2, 0, 3]


def test_workers_that_share_a_folder_end_with_the_bytes_of_one(tmp_path: pathlib.Path) -> None:
    """Three at once, one of them doubled, another killed in the middle of a shard and started again."""
    media = tmp_path / "media"
    (media / "odd").mkdir(parents=True)
    for name in ("text.mp4", "text.png"):
        (media / "odd" / name).write_text("just some text")
    pillow = pytest.importorskip("PIL.Image")
    for number in range(40):
        pillow.effect_noise((90, 70), 60).save(media / f"{number:02d}.png")
    words = (f"data.media={media}", "clips.files_per_shard=2", "clips.validation_percent=20", "clips.size=64")
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    done = run(alone, *words)
    assert done.returncode == 0, done.stderr

    train = shared / "shards" / "media" / "train"
    killed = start(shared, *words, "--shard=0/3")
    deadline = time.monotonic() + 60
    while len(list(train.glob("image-*.jsonl"))) < 3:
        assert time.monotonic() < deadline
        assert killed.poll() is None
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    kept = {path: path.stat().st_mtime_ns for path in train.glob("image-*.jsonl")}
    workers = [start(shared, *words, f"--shard={share}/3") for share in (0, 1, 1)]
    outputs = [worker.communicate(timeout=120)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0], outputs
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert hashes(shared) == hashes(alone)
    ledger = (train / "rejected.jsonl").read_text() + (train.parent / "validation/rejected.jsonl").read_text()
    assert {json.loads(line)["source"] for line in ledger.splitlines()} == {"odd/text.mp4", "odd/text.png"}

    assert "22 of 22 units are written, and hold what was written" in run(shared, *words, "--verify").stdout
    (train / "manifest.json").unlink()
    assert "train: 16 clips of" in run(shared, *words, "--merge").stdout
    assert hashes(shared) == hashes(alone)
