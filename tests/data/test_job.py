"""What is said of a job's units: damaged, missing, shared (in this process; test_pretokenize.py has real ones)."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from toto_jax.data import pretokenization
from toto_jax.data.claims import CLAIMS, Claims
from toto_jax.data.job import Job
from toto_jax.data.pretokenization import SPLITS, is_begun, open_job
from toto_jax.data.timeline import Timeline
from toto_jax.data.work_plan import INPUTS, UnitPlan
from toto_jax.data.worker import Share
from toto_jax.errors import ConfigError, DataError
from toto_jax.tokenizers.pixels import PixelsTokenizer

Open = Callable[..., Job]


@pytest.fixture
def opened(tmp_path: pathlib.Path, clips_config, data_config) -> Open:
    """Opens a job of eight synthetic clips in four units, three to train on."""

    def build(listed: bool = False, seed: int = 0, shared: bool = False) -> Job:
        data, clips = data_config("synthetic"), clips_config(files_per_shard=2)
        return open_job(data, clips, PixelsTokenizer.spec, tmp_path / "out", seed, listed, shared)

    return build


def work(job: Job, decoding, **options: object) -> int:
    return job.work(PixelsTokenizer(), decoding, Share(0, 1), Timeline(keep=False), **options).clips_written


def test_damage_is_found_and_named(opened: Open, decoding) -> None:
    job = opened()
    assert work(job, decoding) == 8
    assert job.verify() == (4, 4)
    shard, index = job.out / "train" / "video-00001.array_record", job.out / "train" / "video-00002.jsonl"
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    index.write_text("".join(index.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(DataError) as caught:
        job.verify()
    assert "2 of 4 units are damaged" in str(caught.value)
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(
        DataError, match=r"train/video-00001 has a sidecar, but its shard is missing, cut off"
    ):
        job.verify()
    assert f"{shard} has changed since it was written" in str(caught.value)
    assert f"{index} has 1 lines for 2 records" in str(caught.value)


def test_a_job_is_closed_when_all_is_there_and_no_sooner(opened: Open, decoding) -> None:
    job = opened()
    assert work(job, decoding, units=job.units[:2]) == 4
    with pytest.raises(
        DataError, match=r"2 of 4 units aren't written yet, the first of them .*train/video-00002"
    ):
        job.close()
    assert job.verify() == (2, 4)
    assert work(job, decoding) == 4  # the rest
    (job.out / "train" / "video-00000.array_record.elsewhere.1.tmp").touch()
    (job.out / "train" / "manifest.json.elsewhere.1.tmp").touch()  # another worker may be writing it
    (job.out / "train" / CLAIMS).mkdir(exist_ok=True)
    assert sum(manifest.records for manifest in job.close().values()) == 8
    assert not list(job.out.glob("*/*array_record*tmp"))
    assert (job.out / "train" / "manifest.json.elsewhere.1.tmp").exists()
    assert not (job.out / "train" / CLAIMS).exists()


def test_others_take_the_inputs_as_the_first_listed_them(opened: Open, decoding) -> None:
    with pytest.raises(DataError, match="Nobody has begun"):
        opened(listed=True)
    job = opened()
    assert is_begun(job.out)
    assert opened(listed=True) == job
    with pytest.raises(DataError, match="seed: 0 -> 1"):
        opened(listed=True, seed=1)
    with pytest.raises(DataError, match="seed: 0 -> 1"):
        opened(seed=1)


def test_of_two_jobs_that_begin_at_once_one_is_refused(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both stop where they have found the folder free, and neither has written, until the other has come so far."""
    meeting, begin = threading.Barrier(2, timeout=1.0), pretokenization.check_settings

    def check_and_meet(folder: pathlib.Path, settings: dict) -> None:
        begin(folder, settings)
        if folder.name == SPLITS[-1]:
            with contextlib.suppress(threading.BrokenBarrierError):
                meeting.wait()

    monkeypatch.setattr(pretokenization, "check_settings", check_and_meet)
    outcomes: dict[int, Job | DataError] = {}

    def run(seed: int) -> None:
        try:
            outcomes[seed] = opened(seed=seed)
        except DataError as error:
            outcomes[seed] = error

    threads = [threading.Thread(target=run, args=(seed,)) for seed in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [seed for seed, outcome in outcomes.items() if isinstance(outcome, DataError)]
    assert len(refused) == 1
    assert f"seed: {1 - refused[0]} -> {refused[0]}" in str(outcomes[refused[0]])
    assert opened(listed=True, seed=1 - refused[0]) == outcomes[1 - refused[0]]


def test_a_job_whose_folder_has_become_anothers_is_not_closed(opened: Open, decoding) -> None:
    job = opened()
    complete = job.work(PixelsTokenizer(), decoding, Share(0, 1), Timeline(keep=False)).complete
    shutil.rmtree(job.out)
    opened(seed=1)
    with pytest.raises(DataError, match="seed: 1 -> 0"):
        job.close(complete)
    assert not list(job.out.rglob("manifest.json"))


@pytest.mark.parametrize("shared", [False, True])
def test_inputs_are_listed_at_once_after_a_lister_that_died(
    opened: Open, tmp_path: pathlib.Path, shared: bool
) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / "out" / CLAIMS).mkdir(parents=True)
    owner = {"host": socket.gethostname(), "process": dead.pid, "space": os.stat("/proc/self/ns/pid").st_ino}
    (tmp_path / "out" / CLAIMS / f"{INPUTS}.json").write_text(json.dumps({**owner, "token": "dead"}))
    began = time.monotonic()
    assert len(opened(shared=shared).units) == 4
    assert time.monotonic() - began < 10


def test_workers_that_share_a_job_wait_for_its_lister(opened: Open, tmp_path: pathlib.Path) -> None:
    found: list[Job] = []
    waiting = threading.Thread(target=lambda: found.append(opened(shared=True)))
    with contextlib.closing(Claims()) as lister:
        assert lister.take(tmp_path / "out", INPUTS)
        waiting.start()
        waiting.join(0.5)
        assert not found
        assert not is_begun(tmp_path / "out")
    waiting.join()
    written = (tmp_path / "out" / "train" / INPUTS).stat().st_mtime_ns
    assert opened(shared=True) == found[0]
    assert (tmp_path / "out" / "train" / INPUTS).stat().st_mtime_ns == written, "listed once, for all"


def test_a_worker_begins_with_its_own_share() -> None:
    plans = [UnitPlan(pathlib.Path(), f"video-{number:05d}", "video", 1, 0, "") for number in range(7)]

    def order(share: Share) -> list[int]:
        return [plans.index(plan) for plan in share.order(plans)]

    assert order(Share(0, 1)) == [0, 1, 2, 3, 4, 5, 6]
    assert order(Share(0, 3)) == [0, 3, 6, 1, 4, 2, 5]
    assert order(Share(2, 3)) == [2, 5, 0, 3, 6, 1, 4]
    with pytest.raises(ConfigError, match="no worker 3 of 3: give --shard=0/3 up to --shard=2/3"):
        Share(3, 3)
