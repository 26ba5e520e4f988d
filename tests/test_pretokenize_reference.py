"""Real videos and photos, some of them broken, by three workers of which one is killed: the bytes of one worker."""

import json
import pathlib
import signal
import subprocess
import time

import pytest

from tests.data.whole_job import hashes
from tests.interop.test_hf_run import write_tokenizer
from tests.processes import end, start
from toto_jax.data.claims import CLAIMS, owner_of
from toto_jax.data.manifest import verify

FOLDERS = ("decoder-edge-cases", "intel-sample-videos/asl_gestures", "sign-digits-100/0", "skimage-images")


def words(media: pathlib.Path, tokenizer: pathlib.Path, workdir: pathlib.Path) -> list[str]:
    values = {
        "data.media": media,
        "data.labels": "layout",
        "clips.size": 32,
        "clips.frames": 4,
        "clips.stride": 1,
        "clips.files_per_shard": 4,
        "clips.encode_batch": 4,
        "clips.validation_percent": 20,
        "decoding.processes": 1,
        "tokenizer.path": tokenizer,
    }
    overrides = [f"--config.{key}={value}" for key, value in values.items()]
    return ["--config=configs/default.py", f"--workdir={workdir}", *overrides]


def kill_with_a_claim(worker: subprocess.Popen[str], shards: pathlib.Path, units: int) -> None:
    """Kills a worker that has a unit in its hands, once so many are written."""
    deadline = time.monotonic() + 120
    while True:
        assert worker.poll() is None, worker.communicate()[0][-4000:]
        assert time.monotonic() < deadline
        owners = [owner_of(path).get("process") for path in shards.glob(f"*/{CLAIMS}/*-?????.json")]
        if worker.pid in owners and len(list(shards.glob("*/*-?????.jsonl"))) >= units:
            break
        time.sleep(0.005)
    worker.send_signal(signal.SIGKILL)
    worker.communicate()


@pytest.mark.reference
def test_a_folder_of_real_media_becomes_the_same_bytes_by_three_workers(
    tmp_path: pathlib.Path, shared_data: pathlib.Path
) -> None:
    (tmp_path / "media").mkdir()
    for folder in FOLDERS:
        (tmp_path / "media" / pathlib.PurePath(folder).name).symlink_to(shared_data / folder)
    tokenizer = write_tokenizer(tmp_path / "tokenizer")
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    end(start("pretokenize", *words(tmp_path / "media", tokenizer, alone)), 0)

    shards = shared / "shards" / "media"
    several = [
        start("pretokenize", *words(tmp_path / "media", tokenizer, shared), f"--shard={share}/3")
        for share in range(3)
    ]
    kill_with_a_claim(several[1], shards, units=4)
    several[1] = start("pretokenize", *words(tmp_path / "media", tokenizer, shared), "--shard=1/3")
    for worker in several:
        end(worker, 0)
    assert hashes(shared) == hashes(alone)

    manifests = [verify(shards / split) for split in ("train", "validation")]
    assert {shard.kind for manifest in manifests for shard in manifest.shards} == {"image", "video"}
    assert sum(manifest.records for manifest in manifests) > 30
    ledger = "".join((shards / split / "rejected.jsonl").read_text() for split in ("train", "validation"))
    reasons = {entry["source"]: entry["reason"] for entry in map(json.loads, ledger.splitlines())}
    assert reasons.pop("decoder-edge-cases/corrupted.mp4").startswith("corrupted.mp4 breaks after")
    assert set(reasons) == {f"decoder-edge-cases/video_{turn}.mov" for turn in (0, 90, 180, 270)}
    assert {reason.split("mov ")[1] for reason in reasons.values()} == {"has 3 frames, but a clip needs 4"}
