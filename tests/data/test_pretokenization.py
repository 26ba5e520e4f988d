"""Whole jobs: what is written, what is refused, and that a killed one ends with the same bytes."""

import dataclasses
import json
import pathlib
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from tests.data.whole_job import hashes, pretokenize
from toto_jax.data.clips import ClipsConfig
from toto_jax.data.manifest import Manifest, clip_index, read_manifest, verify
from toto_jax.data.pretokenization import open_job
from toto_jax.data.shard_reader import read_clips
from toto_jax.data.synthetic import MOTIONS, render_clip
from toto_jax.data.timeline import Timeline
from toto_jax.data.worker import Share
from toto_jax.errors import ConfigError, DataError, StorageError
from toto_jax.tokenizers.base import TokenizerSpec

ROOT = pathlib.Path(__file__).resolve().parents[2]
Run = Callable[..., dict[str, Manifest]]


class Brightness:
    """A frame's code in each quarter is its mean red."""

    spec = TokenizerSpec("brightness", 256, 8, {}, "brightness")

    def encode(self, video_BFHWC: np.ndarray) -> np.ndarray:
        batch, frames, height, width, _ = video_BFHWC.shape
        red = video_BFHWC[..., 0].reshape(batch, frames, height // 8, 8, width // 8, 8)
        return red.mean((3, 5)).astype(np.int32)


@pytest.fixture
def media(make_video, tmp_path: pathlib.Path) -> pathlib.Path:
    """Five videos, seven images, and four files that can't be used."""
    for number in range(5):
        make_video(f"media/dim/{number}.mp4", [40 * number + k for k in range(10)])
    folder = tmp_path / "media" / "grey"
    folder.mkdir()
    for number in range(7):
        Image.new("L", (20, 30), 30 * number).save(folder / f"{number}.png")
    make_video("media/dim/short.avi", [0])
    (folder / "text.mp4").write_text("just some text")
    (folder / "text.png").write_text("just some text")
    Image.new("1", (20_000, 4_000)).save(folder / "wide.png")
    return tmp_path / "media"


def write_pictures(folder: pathlib.Path, count: int) -> list[pathlib.Path]:
    folder.mkdir()
    paths = [folder / f"{number:02d}.png" for number in range(count)]
    for number, path in enumerate(paths):
        Image.new("L", (20, 30), 20 * number).save(path)
    return paths


@pytest.fixture
def run(media: pathlib.Path, clips_config, data_config, decoding) -> Run:
    def pretokenize_media(out: pathlib.Path, seed: int = 0, **changes: float) -> dict[str, Manifest]:
        return pretokenize(
            data_config(media, labels="layout"), clips_config(**changes), decoding, Brightness(), out, seed
        )

    return pretokenize_media


def test_videos_and_images_become_codes_with_their_origin(run: Run, tmp_path: pathlib.Path) -> None:
    manifests = run(tmp_path / "out", validation_percent=0.0)
    folder, manifest = tmp_path / "out" / "train", manifests["train"]
    assert verify(folder) == read_manifest(folder) == manifest
    assert (manifest.shape, manifest.dtype) == ((4, 2, 2), "uint16")
    assert manifest.class_names == ("dim", "grey")
    # 7 videos in threes, of which 5 work; 9 images in threes, of which 7 work, each three a row of 4.
    assert [(shard.file, shard.records) for shard in manifest.shards[:2]] == [
        ("video-00000.array_record", 3),
        ("video-00001.array_record", 2),
    ]
    assert {shard.kind for shard in manifest.shards[2:]} == {"image"}
    codes = read_clips(folder, manifest)
    shown = set()
    for clip, record in zip(codes, clip_index(folder, manifest), strict=True):
        numbers = np.array([int(pathlib.PurePath(source).stem) for source in record.sources])
        if record.kind == "video":
            assert record.label == 0
            expected = 40 * numbers[0] + np.array(record.frame_indices)
        else:
            assert record.label == 1
            shown.update(record.sources)
            expected = 30 * numbers
        np.testing.assert_allclose(clip, np.broadcast_to(expected[:, None, None], (4, 2, 2)), atol=4)
    assert shown == {f"grey/{number}.png" for number in range(7)}
    assert manifest.frames_per_second == 12.5
    assert manifests["validation"].records == 0


def test_rejected_files_are_listed_with_reasons(run: Run, tmp_path: pathlib.Path) -> None:
    manifest = run(tmp_path / "out", validation_percent=0.0)["train"]
    lines = (tmp_path / "out" / "train" / "rejected.jsonl").read_text().splitlines()
    reasons = {entry["source"]: entry["reason"] for entry in map(json.loads, lines)}
    assert manifest.rejected == len(lines) == 4
    assert reasons["dim/short.avi"] == "short.avi has 1 frame, but a clip needs 4"
    assert reasons["grey/text.mp4"].startswith("text.mp4 can't be decoded as a video")
    assert reasons["grey/text.png"] == "text.png is not an image, whatever its extension says"
    assert "wide.png is 20000x4000" in reasons["grey/wide.png"]
    assert str(tmp_path) not in "".join(lines)


def test_splits_share_nothing_and_lose_nothing(run: Run, tmp_path: pathlib.Path) -> None:
    manifests = run(tmp_path / "out", validation_percent=30.0)
    sources = {}
    for split, manifest in manifests.items():
        records = clip_index(tmp_path / "out" / split, manifest)
        sources[split] = {source for record in records for source in record.sources}
    assert not sources["train"] & sources["validation"]
    assert len(sources["train"] | sources["validation"]) == 12
    assert manifests["train"].fingerprint != manifests["validation"].fingerprint


def test_synthetic_media_as_pixels(tmp_path: pathlib.Path, clips_config, data_config, decoding) -> None:
    manifest = pretokenize(data_config("synthetic"), clips_config(), decoding, None, tmp_path, seed=5)[
        "train"
    ]
    clips = read_clips(tmp_path / "train", manifest)
    assert (manifest.tokenizer.kind, manifest.shape, manifest.dtype) == ("pixels", (4, 16, 16, 3), "uint8")
    assert manifest.class_names == MOTIONS
    for clip, record in zip(clips, clip_index(tmp_path / "train", manifest), strict=True):
        number = int(record.source.split("/")[1])
        np.testing.assert_array_equal(clip, render_clip(5, number, frames=4, size=16))
        assert record.label == number % 8


def test_the_same_media_elsewhere_give_the_same_bytes(
    run: Run, media: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run(tmp_path / "a")
    media.rename(tmp_path / "moved")
    media.symlink_to(tmp_path / "moved")
    run(tmp_path / "b")
    run(tmp_path / "c", seed=1)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    assert hashes(tmp_path / "a") != hashes(tmp_path / "c")


@pytest.mark.parametrize("damage", ["cut shard", "lost shard", "lost index", "cut index", "lost manifest"])
def test_a_damaged_folder_is_mended(run: Run, tmp_path: pathlib.Path, damage: str) -> None:
    run(tmp_path / "out")
    before = hashes(tmp_path / "out")
    kind = {"shard": "array_record", "index": "jsonl", "manifest": "json"}[damage.split()[1]]
    name = "manifest.json" if kind == "json" else f"video-00000.{kind}"
    path = tmp_path / "out" / "train" / name
    if damage.startswith("cut"):
        path.write_bytes(path.read_bytes()[:100])
    else:
        path.unlink()
    untouched = tmp_path / "out" / "train" / "image-00000.array_record"
    written = untouched.stat().st_mtime_ns
    run(tmp_path / "out")
    assert hashes(tmp_path / "out") == before
    assert untouched.stat().st_mtime_ns == written


def test_other_settings_are_refused_before_anything_is_written(run: Run, tmp_path: pathlib.Path) -> None:
    run(tmp_path / "out")
    before = hashes(tmp_path / "out")
    with pytest.raises(DataError, match=r"made from other inputs or settings:\n  clips.stride: 2 -> 1\n"):
        run(tmp_path / "out", stride=1)
    assert hashes(tmp_path / "out") == before


def test_mostly_unusable_media_stop_the_job_with_reasons(
    tmp_path: pathlib.Path, clips_config, data_config, decoding
) -> None:
    (tmp_path / "media").mkdir()
    for number in range(8):
        (tmp_path / "media" / f"{number}.mp4").write_text("just some text")
    Image.new("RGB", (20, 20)).save(tmp_path / "media" / "good.png")
    for _ in range(2):  # the second time nothing is left to be read
        with pytest.raises(
            DataError, match=r"of 9 inputs, more than half.*\n  \d.mp4 can't be decoded as a video"
        ):
            pretokenize(data_config(tmp_path / "media"), clips_config(), decoding, None, tmp_path / "out", 0)
        assert len((tmp_path / "out" / "train" / "rejected.jsonl").read_text().splitlines()) >= 5
    assert not (tmp_path / "out" / "train" / "manifest.json").exists()


def test_media_that_vanish_are_not_the_inputs_fault(
    media: pathlib.Path, tmp_path: pathlib.Path, clips_config, data_config, decoding
) -> None:
    job = open_job(data_config(media), clips_config(), Brightness.spec, tmp_path / "out", 0, listed=False)
    media.rename(tmp_path / "moved")
    with pytest.raises(
        StorageError, match=r"was there when .* once that is mended, the same command goes on"
    ):
        job.work(Brightness(), decoding, Share(0, 1), Timeline(keep=False))
    (tmp_path / "moved").rename(media)
    job.work(Brightness(), decoding, Share(0, 1), Timeline(keep=False))
    assert job.close()["train"].records


def test_pictures_that_vanish_for_a_while_are_not_lost(
    tmp_path: pathlib.Path, clips_config, data_config, decoding
) -> None:
    pictures = write_pictures(tmp_path / "media", 12)
    away = pictures[3:7]
    job = open_job(
        data_config(tmp_path / "media"), clips_config(), Brightness.spec, tmp_path / "out", 0, listed=False
    )
    for path in away:
        path.rename(path.with_suffix(".away"))
    with pytest.raises(StorageError, match=r"0[3-6].png was there when the inputs were listed, and is gone"):
        job.work(Brightness(), decoding, Share(0, 1), Timeline(keep=False))
    for path in away:
        path.with_suffix(".away").rename(path)
    complete = job.work(Brightness(), decoding, Share(0, 1), Timeline(keep=False)).complete
    assert sum(len(unit.rejected) for unit in complete.values()) == 0
    job.close(complete)
    assert hashes(tmp_path / "out") == hashes(_whole(tmp_path, clips_config, data_config, decoding))


def _whole(tmp_path: pathlib.Path, clips_config, data_config, decoding) -> pathlib.Path:
    pretokenize(
        data_config(tmp_path / "media"), clips_config(), decoding, Brightness(), tmp_path / "whole", 0
    )
    return tmp_path / "whole"


def test_what_a_list_names_in_vain_is_rejected_and_counted(
    tmp_path: pathlib.Path, clips_config, data_config, decoding
) -> None:
    pictures = write_pictures(tmp_path / "media", 4)
    (tmp_path / "media" / "99.png").symlink_to("nowhere.png")
    names = [path.name for path in pictures] + ["77.png", "88.mp4"]
    (tmp_path / "media" / "list.txt").write_text("\n".join(names))
    for media, missing in ((tmp_path / "media", 1), (tmp_path / "media" / "list.txt", 2)):
        out = tmp_path / media.name / "out"
        manifests = pretokenize(data_config(media), clips_config(), decoding, Brightness(), out, 0)
        assert sum(manifest.rejected for manifest in manifests.values()) == missing


def test_a_rejected_input_is_tried_again_without_its_sidecar(
    tmp_path: pathlib.Path, clips_config, data_config, decoding
) -> None:
    pictures = write_pictures(tmp_path / "media", 6)
    whole = pictures[2].read_bytes()
    pictures[2].write_bytes(whole[:40])
    config = clips_config(validation_percent=0.0)
    arguments = (data_config(tmp_path / "media"), config, decoding, Brightness(), tmp_path / "out", 0)
    assert pretokenize(*arguments)["train"].rejected == 1
    pictures[2].write_bytes(whole)
    assert pretokenize(*arguments)["train"].rejected == 1
    (sidecar,) = (
        path for path in (tmp_path / "out" / "train").glob("image-*.jsonl") if '"02.png"' in path.read_text()
    )
    sidecar.unlink()
    assert pretokenize(*arguments)["train"].rejected == 0


def test_impossible_shapes_stop_before_any_work(
    run: Run, tmp_path: pathlib.Path, clips_config, data_config, decoding
) -> None:
    with pytest.raises(ConfigError, match="20x20 frame is not a whole number of codes"):
        run(tmp_path / "out", size=20)
    huge = Brightness()
    huge.spec = TokenizerSpec("huge", 65_537, 8, {}, "huge")
    with pytest.raises(ConfigError, match="16-bit codes"):
        pretokenize(data_config("synthetic"), clips_config(), decoding, huge, tmp_path / "out", 0)
    with pytest.raises(ConfigError, match="config.seed must be 0 or more, not -1"):
        run(tmp_path / "out", seed=-1)
    assert not (tmp_path / "out").exists()


def test_a_full_disk_says_what_is_complete(
    tmp_path: pathlib.Path, clips_config, data_config, decoding
) -> None:
    config = clips_config(size=64, files_per_shard=2, validation_percent=0.0)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(StorageError, match=r"0 of 4 shards are complete and kept.*same command goes on"):
            pretokenize(data_config("synthetic"), config, decoding, None, tmp_path / "out", 0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (
        pretokenize(data_config("synthetic"), config, decoding, None, tmp_path / "out", 0)["train"].records
        == 8
    )


SLOW_JOB = """
import pathlib, sys, time
from toto_jax.data.clips import ClipsConfig
from toto_jax.data.config import DataConfig
from toto_jax.data.decoding import DecodingConfig
from tests.data.whole_job import pretokenize
from toto_jax.data.shard_reader import read_clips
from toto_jax.tokenizers.pixels import PixelsTokenizer

class Slow(PixelsTokenizer):
    def encode(self, video):
        time.sleep(0.04)
        return video

pretokenize(DataConfig(*{data}), ClipsConfig(*{config}), DecodingConfig(1, 4.0, 60.0, 0.1), Slow(),
            pathlib.Path(sys.argv[1]), seed=0)
"""


def test_a_killed_job_ends_with_the_bytes_of_one_that_was_not(
    tmp_path: pathlib.Path, clips_config, data_config, decoding
) -> None:
    """Real processes, SIGKILL in the middle of a shard, twice."""
    config: ClipsConfig = clips_config(synthetic_clips=60, files_per_shard=6)
    values = {"config": dataclasses.astuple(config), "data": dataclasses.astuple(data_config("synthetic"))}
    command = [sys.executable, "-c", SLOW_JOB.format(**values), str(tmp_path / "killed")]
    train = tmp_path / "killed" / "train"
    for shards in (2, 5):
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        # Past the given shard and into the next one.
        while not list(train.glob(f"video-{shards:05d}.array_record.*.tmp")):
            assert process.poll() is None, "the job ended before it could be killed"
            assert time.monotonic() < deadline, "the job never came so far"
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert len(list(train.glob("video-*.jsonl"))) == shards
        with pytest.raises(DataError, match="is unfinished"):
            read_manifest(train)
    kept = {path: path.stat().st_mtime_ns for path in train.glob("*.array_record")}
    pretokenize(data_config("synthetic"), config, decoding, None, tmp_path / "killed", 0)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    pretokenize(data_config("synthetic"), config, decoding, None, tmp_path / "whole", 0)
    assert hashes(tmp_path / "killed") == hashes(tmp_path / "whole")
    assert len(list(train.glob("*.array_record"))) == 8  # 45 clips in sixes
