import concurrent.futures
import dataclasses
import pathlib
import pickle
import subprocess
import sys

import numpy as np
import pytest

from toto_jax.data import shard_reader
from toto_jax.data.clip_record import ClipRecord
from toto_jax.data.manifest import MANIFEST, Manifest
from toto_jax.data.shard_reader import ShardReader, read_clips
from toto_jax.data.shard_writer import ShardWriter
from toto_jax.errors import DataError
from toto_jax.tokenizers.base import TokenizerSpec
from toto_jax.video import IMAGE_START, VIDEO_START

SPEC = TokenizerSpec("dvae", 65_536, 8, {"width": 4}, "abc")
SIZES = (3, 2, 4, 1)


@pytest.fixture
def made(tmp_path: pathlib.Path) -> tuple[pathlib.Path, Manifest]:
    """Shards of 3, 2, 4 and 1 clips of codes 2 x 2 x 2, the last of an image; every code of clip k is 1000 k."""
    shards, number = [], 0
    for shard, size in enumerate(SIZES):
        kind = "image" if shard == 3 else "video"
        writer = ShardWriter(tmp_path, f"{kind}-{shard:05d}", kind)
        for _ in range(size):
            line = ClipRecord(kind, (f"{number}",), (None,), 0.0, 1.0, (0, 1), ((0, 0),))
            writer.add(np.full((2, 2, 2), 1000 * number, np.uint16), line)
            number += 1
        shards.append(writer.commit("digest").shard)
    return tmp_path, Manifest(SPEC, (2, 2, 2), "uint16", None, tuple(shards), (), 0, {})


def numbers_of(clips: np.ndarray) -> list[int]:
    assert (clips == clips[:, :1, :1, :1]).all()
    return [int(clip[0, 0, 0]) // 1000 for clip in clips]


def test_clips_come_by_number_in_any_order_and_more_than_once(made: tuple[pathlib.Path, Manifest]) -> None:
    clips = read_clips(*made)
    assert (clips.shape, clips.dtype) == ((10, 2, 2, 2), np.uint16)
    assert numbers_of(clips) == list(range(10))
    assert numbers_of(read_clips(*made, [9, 0, 4, 9, 3])) == [9, 0, 4, 9, 3]
    assert read_clips(*made, []).shape == (0, 2, 2, 2)
    clips[0] = 7  # theirs to write to


def test_a_number_beyond_the_end_is_an_error(made: tuple[pathlib.Path, Manifest]) -> None:
    with pytest.raises(DataError, match=r"records 0..9, not 10"):
        read_clips(*made, [0, 10])
    with pytest.raises(DataError, match="not -1"):
        read_clips(*made, [-1])


def test_start_tokens_are_those_of_the_shards(made: tuple[pathlib.Path, Manifest]) -> None:
    assert ShardReader(*made).starts(np.array([8, 9, 0])).tolist() == [VIDEO_START, IMAGE_START, VIDEO_START]


def test_few_shards_are_open_at_once(
    made: tuple[pathlib.Path, Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_reader, "MOST_OPEN", 2)
    reader = ShardReader(*made)
    for number in np.random.default_rng(0).integers(0, 10, 50):
        assert numbers_of(reader.read([number])) == [number]
        assert len(reader._open) <= 2
    reader.read([0])
    reader.read([3])
    reader.read([0])
    reader.read([9])
    assert list(reader._open) == [0, 3], "the least lately used one is closed"


def test_a_process_that_may_open_few_files_reads_many_shards(
    made: tuple[pathlib.Path, Manifest], tmp_path: pathlib.Path
) -> None:
    """400 shards, 300 files: the limit is set in a process of its own, and random clips are read in threads."""
    folder, manifest = made
    shards = []
    for number in range(400):
        shard = manifest.shards[number % 3]
        shards.append(dataclasses.replace(shard, file=f"copy-{number:05d}.array_record"))
        (folder / shards[-1].file).write_bytes((folder / shard.file).read_bytes())
    (folder / MANIFEST).write_text(dataclasses.replace(manifest, shards=tuple(shards)).to_json())
    script = f"""
import concurrent.futures, os, pathlib, resource
import numpy as np
resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))
from toto_jax.data.manifest import read_manifest
from toto_jax.data.shard_reader import MOST_OPEN, ShardReader
folder = pathlib.Path({str(folder)!r})
before = len(os.listdir("/proc/self/fd"))
reader = ShardReader(folder, read_manifest(folder))
wanted = np.random.default_rng(0).permutation(len(reader)).reshape(-1, 8)
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    clips = list(pool.map(reader.read, wanted))
print(MOST_OPEN, before, len(os.listdir("/proc/self/fd")), sum(map(len, clips)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    most, before, opened, clips = map(int, done.stdout.split())
    assert clips == sum(SIZES[number % 3] for number in range(400))
    assert most <= opened <= before + most < 400


def test_threads_and_processes_share_a_reader(
    made: tuple[pathlib.Path, Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_reader, "MOST_OPEN", 1)
    reader = ShardReader(*made)
    wanted = [list(np.random.default_rng(seed).permutation(10)) for seed in range(64)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert [numbers_of(clips) for clips in pool.map(reader.read, wanted)] == wanted
    assert numbers_of(pickle.loads(pickle.dumps(reader)).read([5])) == [5]


def test_a_shard_of_another_content_is_an_error_when_read(made: tuple[pathlib.Path, Manifest]) -> None:
    folder, manifest = made
    shard = folder / manifest.shards[1].file
    shard.write_bytes((folder / manifest.shards[0].file).read_bytes())
    with pytest.raises(DataError, match=r"00001.array_record has 3 records where its manifest counts 2"):
        read_clips(folder, manifest, [4])
    shard.write_bytes(bytes(shard.stat().st_size))
    with pytest.raises(DataError, match=r"00001.array_record has 0 records where.*Delete it and run"):
        read_clips(folder, manifest, [4])
    assert numbers_of(read_clips(folder, manifest, [0])) == [0], "the others are"


def test_clips_of_another_size_are_an_error(made: tuple[pathlib.Path, Manifest]) -> None:
    folder, manifest = made
    wider = Manifest(SPEC, (2, 2, 4), "uint16", None, manifest.shards, (), 0, {})
    with pytest.raises(DataError, match="holds records of another size than 32 bytes"):
        read_clips(folder, wider, [4])
