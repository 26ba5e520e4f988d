"""Workers that hang, or find what they were writing written."""

import dataclasses
import pathlib
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from tests.data.whole_job import hashes
from toto_jax.data import worker
from toto_jax.data.claims import Claims
from toto_jax.data.job import Job
from toto_jax.data.pretokenization import open_job
from toto_jax.data.timeline import Timeline
from toto_jax.data.worker import Share
from toto_jax.tokenizers.pixels import PixelsTokenizer

ROOT = pathlib.Path(__file__).resolve().parents[2]
Open = Callable[..., Job]


@pytest.fixture
def opened(tmp_path: pathlib.Path, clips_config, data_config) -> Open:
    """Opens a job of eight synthetic clips in four units, all to train on."""

    def build(name: str, listed: bool = False) -> Job:
        clips = clips_config(files_per_shard=2, validation_percent=0.0)
        return open_job(data_config("synthetic"), clips, PixelsTokenizer.spec, tmp_path / name, 0, listed)

    return build


def work(job: Job, decoding, tokenizer: PixelsTokenizer | None = None) -> None:
    job.close(job.work(tokenizer or PixelsTokenizer(), decoding, Share(0, 1), Timeline(keep=False)).complete)


HUNG = """
import pathlib, time
from toto_jax.data import worker
from toto_jax.data.claims import Claims
from toto_jax.data.clips import ClipsConfig
from toto_jax.data.config import DataConfig
from toto_jax.data.decoding import DecodingConfig
from toto_jax.data.pretokenization import open_job
from toto_jax.data.timeline import Timeline
from toto_jax.tokenizers.pixels import PixelsTokenizer

class Hung(PixelsTokenizer):
    def encode(self, video):
        print("hangs", flush=True)
        time.sleep(600)

worker.Claims = lambda quiet: Claims(lease=1.0, quiet=quiet / 1000)
job = open_job(DataConfig(*{data}), ClipsConfig(*{clips}), Hung.spec, pathlib.Path({out!r}), 0, True)
job.work(Hung(), DecodingConfig(1, 4.0, 60.0, 0.1), worker.Share(0, 1), Timeline(keep=False))
"""


def test_the_units_of_a_worker_that_hangs_are_taken_over(
    opened: Open, decoding, clips_config, data_config, monkeypatch: pytest.MonkeyPatch
) -> None:
    work(opened("whole"), decoding)
    job = opened("shared")
    program = HUNG.format(
        data=dataclasses.astuple(data_config("synthetic")),
        clips=dataclasses.astuple(job.clips),
        out=str(job.out),
    )
    hung = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    # A worker that waits for ever is set free by its death.
    rescue = threading.Timer(60, hung.kill)
    rescue.start()
    try:
        assert hung.stdout.readline() == "hangs\n"
        assert (job.out / "train" / "claims" / "video-00000.json").exists()
        monkeypatch.setattr(worker, "Claims", lambda quiet: Claims(lease=1.0, quiet=quiet))
        work(job, decoding)
        assert hung.poll() is None, "its claim was kept as long as it lived"
    finally:
        rescue.cancel()
        hung.kill()
        hung.wait()
    assert hashes(job.out) == hashes(opened("whole", listed=True).out)


def test_a_worker_shows_that_it_goes_on(opened: Open, decoding, monkeypatch: pytest.MonkeyPatch) -> None:
    beats: list[float] = []

    class Counted(Claims):
        def beat(self) -> None:
            beats.append(time.monotonic())
            super().beat()

    monkeypatch.setattr(worker, "Claims", Counted)
    work(opened("out"), decoding)
    # Four units taken; eight inputs, as many clips, and as many of them encoded.
    assert len(beats) == 4 + 3 * 8


@pytest.mark.parametrize("moment", ["encoded", "committed"])
def test_a_unit_that_somebody_else_has_written_meanwhile_counts(
    opened: Open, decoding, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """What a worker meets that slept through its lease: the unit is complete, and its own temporary files are gone."""
    work(opened("whole"), decoding)
    job, others = opened("out"), opened("whole", listed=True).out

    def overtake() -> None:
        for path in (others / "train").glob("video-00000.*"):
            shutil.copy(path, job.out / "train")
        for path in (job.out / "train").glob("video-00000.*.tmp"):
            path.unlink()

    class Sleeper(PixelsTokenizer):
        def encode(self, video_BFHWC: np.ndarray) -> np.ndarray:
            if not (job.out / "train" / "video-00000.jsonl").exists():
                overtake()
            return video_BFHWC

    if moment == "encoded":
        add, calls = worker.ShardWriter.add, []

        def stale(writer: worker.ShardWriter, *arguments: object) -> None:
            calls.append(1)
            if len(calls) == 1:
                raise worker.StorageError("Stale file handle")
            add(writer, *arguments)

        monkeypatch.setattr(worker.ShardWriter, "add", stale)
    work(job, decoding, Sleeper())
    assert hashes(job.out) == hashes(others)
