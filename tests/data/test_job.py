"""What is said of a job's units: damaged, missing, shared (in this process; test_pretokenize.py has real ones)."""

import pathlib
from collections.abc import Callable

import pytest

from toto_jax.data.claims import CLAIMS
from toto_jax.data.job import Job
from toto_jax.data.pretokenization import is_begun, open_job
from toto_jax.data.timeline import Timeline
from toto_jax.data.work_plan import UnitPlan
from toto_jax.data.worker import Share
from toto_jax.errors import ConfigError, DataError
from toto_jax.tokenizers.pixels import PixelsTokenizer

Open = Callable[..., Job]


@pytest.fixture
def opened(tmp_path: pathlib.Path, clips_config, data_config) -> Open:
    """Opens a job of eight synthetic clips in four units, three to train on."""

    def build(listed: bool = False, seed: int = 0) -> Job:
        clips = clips_config(files_per_shard=2)
        return open_job(data_config("synthetic"), clips, PixelsTokenizer.spec, tmp_path / "out", seed, listed)

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


def test_a_worker_begins_with_its_own_share() -> None:
    plans = [UnitPlan(pathlib.Path(), f"video-{number:05d}", "video", 1, 0, "") for number in range(7)]

    def order(share: Share) -> list[int]:
        return [plans.index(plan) for plan in share.order(plans)]

    assert order(Share(0, 1)) == [0, 1, 2, 3, 4, 5, 6]
    assert order(Share(0, 3)) == [0, 3, 6, 1, 4, 2, 5]
    assert order(Share(2, 3)) == [2, 5, 0, 3, 6, 1, 4]
    with pytest.raises(ConfigError, match="no worker 3 of 3: give --shard=0/3 up to --shard=2/3"):
        Share(3, 3)
