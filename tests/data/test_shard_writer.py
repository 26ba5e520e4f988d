import pathlib
import resource

import numpy as np
import pytest
from array_record.python.array_record_module import ArrayRecordReader

from toto_jax.data import shard_writer
from toto_jax.data.clip_record import ClipRecord
from toto_jax.data.manifest import file_sha256
from toto_jax.data.shard_writer import ShardWriter, read_unit, write_text
from toto_jax.errors import StorageError

RECORD = ClipRecord("video", ("a.mp4",), (None,), 0.0, 30.0, (0, 4), ((0, 0),))


def write(folder: pathlib.Path, clips: list[np.ndarray], stem: str = "video-00000", digest: str = "d"):
    writer = ShardWriter(folder, stem, "video")
    for clip in clips:
        writer.add(clip, RECORD)
    writer.reject("b.mp4", "why")
    return writer.commit(digest)


def test_a_record_is_the_bytes_of_a_clip_and_nothing_else(tmp_path: pathlib.Path) -> None:
    codes = np.array([[1, 258], [65_535, 0]], np.uint16)
    write(tmp_path, [codes, codes.astype(">u2")])
    with_pixels = write(tmp_path, [np.arange(6, dtype=np.uint8)], stem="image-00000")
    reader = ArrayRecordReader(str(tmp_path / "video-00000.array_record"))
    assert reader.read_all() == [b"\x01\x00\x02\x01\xff\xff\x00\x00"] * 2
    assert "group_size:1" in reader.writer_options_string()
    assert ArrayRecordReader(str(tmp_path / with_pixels.shard.file)).read_all() == [bytes(range(6))]


def test_equal_clips_give_equal_bytes(tmp_path: pathlib.Path) -> None:
    clips = list(np.random.default_rng(0).integers(0, 99, (200, 1000), dtype=np.uint16))
    hashes = {write(tmp_path / str(run), clips).shard.sha256 for run in range(3)}
    assert len(hashes) == 1
    assert hashes == {file_sha256(tmp_path / "0" / "video-00000.array_record")}


def test_a_unit_is_complete_only_when_committed(tmp_path: pathlib.Path) -> None:
    writer = ShardWriter(tmp_path, "video-00000", "video")
    writer.add(np.zeros(4, np.uint8), RECORD)
    assert read_unit(tmp_path, "video-00000", "d") is None
    assert not (tmp_path / "video-00000.array_record").exists()
    unit = writer.commit("d")
    writer.close()
    assert read_unit(tmp_path, "video-00000", "d") == unit
    assert (unit.shard.records, unit.frames_per_second) == (1, 7.5)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "video-00000.array_record",
        "video-00000.jsonl",
    ]


def test_a_commit_removes_what_others_left_of_its_unit(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [f"video-00000.{kind}.elsewhere.7.abcd.tmp" for kind in ("array_record", "jsonl")]
    others = ["video-00001.array_record.elsewhere.7.abcd.tmp", "inputs.jsonl.elsewhere.7.abcd.tmp"]
    for name in left + others:
        (tmp_path / name).touch()
    sleeper = ShardWriter(tmp_path, "video-00000", "video")
    sleeper.add(np.zeros(4, np.uint8), RECORD)
    monkeypatch.setattr(shard_writer, "_TOKEN", "another")
    unit = write(tmp_path, [np.zeros(4, np.uint8)])
    written = ["video-00000.array_record", "video-00000.jsonl"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(written + others)
    monkeypatch.undo()
    with pytest.raises(StorageError, match="No such file"):
        sleeper.commit("d")
    sleeper.close()
    assert read_unit(tmp_path, "video-00000", "d") == unit


def test_what_is_dropped_leaves_nothing(tmp_path: pathlib.Path) -> None:
    writer = ShardWriter(tmp_path, "video-00000", "video")
    writer.add(np.zeros(4, np.uint8), RECORD)
    writer.close()
    assert not list(tmp_path.iterdir())


def test_units_that_changed_are_to_be_done_again(tmp_path: pathlib.Path) -> None:
    write(tmp_path, [np.zeros(4, np.uint8)])
    shard, index = tmp_path / "video-00000.array_record", tmp_path / "video-00000.jsonl"
    assert read_unit(tmp_path, "video-00000", "d").rejected == (("b.mp4", "why"),)
    assert read_unit(tmp_path, "video-00000", "other settings") is None
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    assert read_unit(tmp_path, "video-00000", "d") is None
    shard.unlink()
    assert read_unit(tmp_path, "video-00000", "d") is None
    shard.write_bytes(whole)
    assert read_unit(tmp_path, "video-00000", "d") is not None
    index.write_text("{")
    assert read_unit(tmp_path, "video-00000", "d") is None


def test_a_unit_whose_inputs_were_all_rejected_has_no_shard(tmp_path: pathlib.Path) -> None:
    unit = write(tmp_path, [])
    assert unit.shard.records == 0
    assert [path.name for path in tmp_path.iterdir()] == ["video-00000.jsonl"]
    assert read_unit(tmp_path, "video-00000", "d") == unit


@pytest.fixture
def small_disk():
    """No file may grow over 100 kB: what a full disk does, without one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_told_and_leaves_nothing_half_done(tmp_path: pathlib.Path, small_disk: None) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 50_000), dtype=np.uint8)
    writer = ShardWriter(tmp_path, "video-00000", "video")

    def write_all() -> None:
        for clip in noise:
            writer.add(clip, RECORD)
        writer.commit("d")

    with pytest.raises(StorageError, match="video-00000.array_record can't be written: .*File too large"):
        write_all()
    writer.close()
    assert not list(tmp_path.iterdir())
    with pytest.raises(StorageError, match="a.json can't be written: File too large"):
        write_text(tmp_path / "a.json", "x" * 200_000)
    assert not (tmp_path / "a.json").exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="can't be written: Not a directory"):
        ShardWriter(tmp_path / "file" / "sub", "video-00000", "video")
