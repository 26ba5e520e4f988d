import dataclasses
import json
import pathlib

import numpy as np
import pytest

from toto_jax.data.clip_record import ClipRecord
from toto_jax.data.manifest import Manifest, clip_index, read_manifest, verify
from toto_jax.data.shard_writer import ShardWriter
from toto_jax.errors import DataError
from toto_jax.tokenizers.base import TokenizerSpec

SPEC = TokenizerSpec("dvae", 65_536, 8, {"width": 4}, "abc")


def record(source: str, label: int | None = None) -> ClipRecord:
    return ClipRecord("video", (source,), (label,), 0.5, 30.0, (3, 7), ((0, 4),))


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """Two shards of 3 and 2 clips of codes 2 x 2 x 2; every code of clip k is 1000 k."""
    shards = []
    for shard, numbers in enumerate(((0, 1, 2), (3, 4))):
        writer = ShardWriter(tmp_path, f"video-{shard:05d}", "video")
        for number in numbers:
            writer.add(np.full((2, 2, 2), 1000 * number, np.uint16), record(f"{number}.mp4", number % 2))
        shards.append(writer.commit("digest").shard)
    manifest = Manifest(SPEC, (2, 2, 2), "uint16", 7.5, tuple(shards), ("jump", "run"), 1, {"seed": 0})
    (tmp_path / "manifest.json").write_text(manifest.to_json())
    return tmp_path


def test_a_manifest_comes_back_as_it_was(folder: pathlib.Path) -> None:
    manifest = read_manifest(folder)
    assert manifest.records == 5
    assert manifest.tokenizer == SPEC
    assert (manifest.shape, manifest.dtype, manifest.class_names) == ((2, 2, 2), "uint16", ("jump", "run"))
    assert [shard.records for shard in manifest.shards] == [3, 2]
    assert manifest.to_json() == (folder / "manifest.json").read_text()


def test_the_index_says_where_clips_come_from(folder: pathlib.Path) -> None:
    index = clip_index(folder, read_manifest(folder))
    assert index == [record(f"{number}.mp4", number % 2) for number in range(5)]
    assert (index[3].source, index[3].label) == ("3.mp4", 1)
    assert index[0].clip_rate == 7.5  # 30 a second, every 4th


def test_a_row_of_images_has_a_label_only_if_all_agree() -> None:
    row = ClipRecord("image", ("a", "b"), (2, 2), None, None, (0, 0), ((0, 0), (0, 0)))
    assert row.label == 2
    assert dataclasses.replace(row, labels=(2, 1)).label is None


def test_the_fingerprint_follows_the_data_and_nothing_else(folder: pathlib.Path) -> None:
    manifest = read_manifest(folder)
    other_bytes = dataclasses.replace(manifest.shards[0], sha256="0" * 64)
    changes = [
        {"shards": (other_bytes, manifest.shards[1])},
        {"shards": manifest.shards[::-1]},
        {"shape": (2, 4, 1)},
        {"tokenizer": dataclasses.replace(SPEC, content_hash="other")},
    ]
    prints = {dataclasses.replace(manifest, **change).fingerprint for change in changes}
    assert len(prints | {manifest.fingerprint}) == 5
    assert dataclasses.replace(manifest, settings={}, rejected=9).fingerprint == manifest.fingerprint


def test_missing_things_are_named_with_what_to_do(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataError, match=r"nowhere has no shards: .*run toto_jax.pretokenize again"):
        read_manifest(tmp_path / "nowhere")
    (folder / "video-00001.array_record").unlink()
    with pytest.raises(DataError, match=r"video-00001.array_record is missing, .*run toto_jax.pretokenize"):
        read_manifest(folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(DataError, match=r"is unfinished: it lacks manifest.json; run"):
        read_manifest(folder)


def test_a_truncated_shard_is_named(folder: pathlib.Path) -> None:
    shard = folder / "video-00000.array_record"
    size = shard.stat().st_size
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(DataError, match=rf"video-00000.array_record has 1,000 bytes instead of {size:,}"):
        read_manifest(folder)


def test_altered_manifests_are_refused(folder: pathlib.Path) -> None:
    path = folder / "manifest.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"shape": [2, 4, 1]}))
    with pytest.raises(DataError, match="altered"):
        read_manifest(folder)
    path.write_text(json.dumps(values | {"format": 99}))
    with pytest.raises(DataError, match="format 99"):
        read_manifest(folder)
    path.write_text(path.read_text()[:50])
    with pytest.raises(DataError, match=r"manifest.json is damaged .*delete it and run"):
        read_manifest(folder)
    path.write_text("{}")
    with pytest.raises(DataError, match="damaged"):
        read_manifest(folder)


def test_verify_notices_a_flipped_bit(folder: pathlib.Path) -> None:
    assert verify(folder).records == 5
    shard = folder / "video-00001.array_record"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    read_manifest(folder)  # sizes alone don't show it
    with pytest.raises(DataError, match="video-00001.array_record has changed since it was written"):
        verify(folder)


def test_a_damaged_index_is_named(folder: pathlib.Path) -> None:
    path = folder / "video-00000.jsonl"
    whole = path.read_text()
    path.write_text(whole.replace('"crops"', '"crop"'))
    with pytest.raises(DataError, match="video-00000.jsonl can't be read"):
        clip_index(folder, read_manifest(folder))
    path.write_text("".join(whole.splitlines(keepends=True)[:-1]))
    with pytest.raises(DataError, match="has 2 lines for 3 records"):
        verify(folder)
