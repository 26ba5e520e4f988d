"""A local folder that holds a window of shards at a time, beside the pipeline that reads from it."""

import dataclasses
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from toto_jax.data import shard_reader, staging
from toto_jax.data.clip_record import ClipRecord
from toto_jax.data.manifest import MANIFEST, Manifest, read_manifest, verify
from toto_jax.data.mixture import Mixture
from toto_jax.data.pipeline import Pipeline
from toto_jax.data.shard_reader import ShardReader
from toto_jax.data.shard_writer import ShardWriter
from toto_jax.data.stage_plan import StagePlan
from toto_jax.data.staged import STAGED, read_staged
from toto_jax.data.staging import Stager, Store
from toto_jax.errors import ConfigError, DataError
from toto_jax.evaluation.context import Split
from toto_jax.tokenizers.base import TokenizerSpec

MIXTURE = {"films": ((0, 3), (20, 1)), "photos": 1}
BATCH, STEPS, WINDOW, AHEAD = 4, 100, 2, 2
ROOM = 14 * 2**17  # of 18 shards; the least that is taken to be enough
RECORDS = {"films": [12, 20, 16, 24, 8, 16, 12, 20, 16, 24], "photos": [8, 8, 12, 8, 4, 8]}


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """10 and 6 shards whose clips' codes are their numbers, with a validation split of one shard each."""
    root = tmp_path_factory.mktemp("bucket")
    for source, records in RECORDS.items():
        for split, sizes in (("train", records), ("validation", [2])):
            folder = root / source / split
            folder.mkdir(parents=True)
            shards, number = [], 0
            for part, size in enumerate(sizes):
                writer = ShardWriter(folder, f"video-{part:05}", "video")
                for _ in range(size):
                    line = ClipRecord("video", (f"{number}",), (None,), 0.0, 1.0, (0, 1), ((0, 0),))
                    writer.add(np.full((2, 2, 2), number, np.uint16), line)
                    number += 1
                shards.append(writer.commit("digest").shard)
            spec = TokenizerSpec("dvae", 4096, 4, {}, "a" * 64)
            manifest = Manifest(spec, (2, 2, 2), "uint16", None, tuple(shards), (), 0, {})
            (folder / MANIFEST).write_text(manifest.to_json())
    return root


@pytest.fixture
def local(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "local"


def stager(bucket: pathlib.Path | str, local: pathlib.Path, **changes: Any) -> Stager:
    values = dict(mixture=Mixture(MIXTURE, BATCH), window=WINDOW, seed=0, steps=STEPS, copies=2, log=print)
    return Stager(Store(str(bucket)), local, **{**values, **changes})


def pipeline(folder: pathlib.Path, **changes: Any) -> Pipeline:
    return Pipeline(folder, MIXTURE, BATCH, seed=0, window=WINDOW, wait_seconds=0.1, **changes)


def fill(staged: Stager, step: int, room: int) -> None:
    while staged.advance(step, room)[1]:
        pass


def held(local: pathlib.Path) -> int:
    return sum(path.stat().st_size for path in local.rglob("*.array_record"))


def test_a_run_reads_the_same_batches_from_a_window_as_from_all(
    bucket: pathlib.Path, local: pathlib.Path
) -> None:
    staged = stager(bucket, local)
    staged.begin()
    staged.check_room(ROOM, AHEAD)
    assert held(bucket) > ROOM
    whole, windowed = pipeline(bucket), pipeline(local)
    gone = set()
    for step in range(STEPS):
        # As when the log is behind: whatever is ahead of it must be there.
        fill(staged, max(step - AHEAD + 1, 0), ROOM)
        assert held(local) <= ROOM
        gone |= {path.name for path in (bucket / "films/train").glob("*.array_record")} - {
            path.name for path in (local / "films/train").glob("*.array_record")
        }
        np.testing.assert_array_equal(windowed.batch_at(step)["ids"], whole.batch_at(step)["ids"])
    assert len(gone) > 5, "what is done with is deleted"


def test_a_run_reads_nothing_beyond_its_last_step(bucket: pathlib.Path, local: pathlib.Path) -> None:
    """What comes after isn't staged, so reading ahead would wait for it in vain."""
    staged = stager(bucket, local)
    staged.begin()
    fill(staged, STEPS - 3, ROOM)
    for index in range(2):
        part = pipeline(local, process_index=index, process_count=2)
        batches = list(part.batches_from(STEPS - 3, STEPS))
        assert len(batches) == 3
        np.testing.assert_array_equal(batches[-1]["ids"], part.batch_at(STEPS - 1)["ids"])
    with pytest.raises(DataError, match="did not come within"):
        pipeline(local).batch_at(STEPS + 8)


def test_a_run_that_goes_back_finds_its_shards_again(bucket: pathlib.Path, local: pathlib.Path) -> None:
    staged = stager(bucket, local)
    staged.begin()
    for step in (0, 40, 5):
        fill(staged, step, ROOM)
        np.testing.assert_array_equal(
            pipeline(local).batch_at(step)["ids"], pipeline(bucket).batch_at(step)["ids"]
        )


def test_what_a_kill_leaves_is_put_right(bucket: pathlib.Path, local: pathlib.Path) -> None:
    first = stager(bucket, local)
    first.begin()
    fill(first, 0, ROOM)
    folder = local / "films" / "train"
    shard = sorted(folder.glob("*.array_record"))[0]
    shard.write_bytes(shard.read_bytes()[:100])
    (folder / "video-00009.array_record.tmp").write_bytes(b"half")
    (folder / MANIFEST).unlink()
    again = stager(bucket, local)
    again.begin()
    fill(again, 0, ROOM)
    assert not list(local.rglob("*.tmp"))
    for path in local.rglob("*.array_record"):
        assert path.read_bytes() == (bucket / path.relative_to(local)).read_bytes()
    pipeline(local).batch_at(0)


def test_evaluators_read_what_is_kept(bucket: pathlib.Path, local: pathlib.Path) -> None:
    staged = stager(bucket, local)
    staged.begin()
    assert not any(path.name == "video-00003.array_record" for path in (local / "films/train").iterdir())
    clips, _ = Split(local / "films" / "train").read(100)
    assert clips[:, 0, 0, 0].tolist() == [*range(12), *range(144, 168)], "of the first and the last shard"
    assert len(Split(local / "films" / "validation").read(100)[0]) == 2
    assert len(Split(bucket / "films" / "train").read(1000)[0]) == 168
    fill(staged, STEPS - 1, ROOM)
    assert len(Split(local / "films" / "train").read(100)[0]) == 36


def test_shards_come_from_any_file_system_of_fsspec(bucket: pathlib.Path, local: pathlib.Path) -> None:
    memory = pytest.importorskip("fsspec").filesystem("memory")
    memory.put(f"{bucket}/", "/bucket/shards", recursive=True)
    staged = stager("memory://bucket/shards/", local)
    staged.begin()
    fill(staged, 0, ROOM)
    np.testing.assert_array_equal(pipeline(local).batch_at(0)["ids"], pipeline(bucket).batch_at(0)["ids"])
    assert read_staged(local / "films" / "train").source == "memory://bucket/shards"


def test_stores_that_cannot_be_read_are_said(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="--source=nostore://x can't be read"):
        Store("nostore://x")
    with pytest.raises(DataError, match=r"nowhere/films/train/manifest.json is missing; write the shards"):
        stager(tmp_path / "nowhere", tmp_path / "local")

    def absent(module: str) -> None:
        raise ImportError(module)

    monkeypatch.setattr("importlib.import_module", absent)
    with pytest.raises(ConfigError, match=r"'gcsfs', which is not installed: pip install 'toto_jax\[gcs\]'"):
        Store("gs://bucket/shards")


def test_other_shards_than_the_manifest_lists_are_refused(
    bucket: pathlib.Path, local: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged = stager(bucket, local)
    read = staging.parse_manifest

    def altered(text: str, path: str) -> Manifest:
        manifest = read(text, path)
        wrong = tuple(dataclasses.replace(shard, sha256="0" * 64) for shard in manifest.shards)
        return dataclasses.replace(manifest, shards=wrong)

    monkeypatch.setattr(staging, "parse_manifest", altered)
    with pytest.raises(DataError, match=r"video-0000\d.array_record is not what its manifest lists"):
        stager(bucket, local).begin()
    assert not list(local.rglob("*.array_record*"))
    monkeypatch.undo()
    staged.begin()


def test_a_copy_that_fails_is_tried_again(
    bucket: pathlib.Path, local: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    staged = stager(bucket, local, log=said.append)
    staged.begin()
    copy = Store.copy

    def fails(*arguments: Any) -> None:
        raise TimeoutError("503")

    monkeypatch.setattr(Store, "copy", fails)
    copied, missing = staged.advance(0, ROOM)
    assert copied == 0 < missing
    assert "TimeoutError('503')); trying again" in said[0]
    monkeypatch.setattr(Store, "copy", copy)
    fill(staged, 0, ROOM)


def test_too_little_room_and_no_window_are_errors(bucket: pathlib.Path, local: pathlib.Path) -> None:
    staged = stager(bucket, local)
    # Two steps take 8 rows at most, less than any two shards hold: two windows of two shards of each source; kept are
    # two shards of each source and both validation shards.
    size = (bucket / "films" / "train" / "video-00000.array_record").stat().st_size
    assert (8 + 4 + 2) * size == ROOM
    with pytest.raises(ConfigError, match=rf"is too little: .* take up to {ROOM / 1e9:.4g}. Give so much"):
        staged.check_room(ROOM - 1, AHEAD)
    with pytest.raises(ConfigError, match="config.data.window=0 shuffles over all shards"):
        stager(bucket, local, window=0)
    assert not local.exists()


def test_shards_of_somebody_else_are_never_deleted(bucket: pathlib.Path, local: pathlib.Path) -> None:
    before = held(bucket)
    with pytest.raises(ConfigError, match="holds something else than shards staged from"):
        stager(bucket, bucket)
    assert held(bucket) == before
    stager(bucket, local).begin()
    for changes in ({"window": 3}, {"mixture": Mixture({"films": 1}, BATCH), "window": 1}):
        with pytest.raises(ConfigError, match="holds something else than shards staged from"):
            stager(bucket, local, **changes)


def test_a_store_that_has_changed_is_noticed(bucket: pathlib.Path, tmp_path: pathlib.Path) -> None:
    copy, local = tmp_path / "copy", tmp_path / "local"
    shutil.copytree(bucket, copy)
    stager(copy, local).begin()
    path = copy / "films" / "train" / MANIFEST
    manifest = read_manifest(path.parent)
    path.write_text(dataclasses.replace(manifest, shards=manifest.shards[:10][::-1]).to_json())
    with pytest.raises(ConfigError, match="has changed since|holds something else"):
        stager(copy, local)


def test_a_staged_folder_is_not_looked_at_as_if_it_were_whole(
    bucket: pathlib.Path, local: pathlib.Path
) -> None:
    stager(bucket, local).begin()
    with pytest.raises(
        DataError, match=f"holds only the shards that a run reads next; look at those in {bucket}"
    ):
        verify(local / "films" / "train")
    (local / "films" / "train" / STAGED).write_text("{")
    with pytest.raises(DataError, match="staged.json is damaged"):
        read_manifest(local / "films" / "train")


def test_the_reader_waits_and_then_says_what_to_start(bucket: pathlib.Path, local: pathlib.Path) -> None:
    stager(bucket, local).begin()
    with pytest.raises(
        DataError, match=r"video-0000\d.array_record did not come within config.data.wait_seconds=0.1"
    ):
        pipeline(local).batch_at(20)
    with pytest.raises(ConfigError, match="are staged for config.data.window=2, not 0"):
        Pipeline(local, MIXTURE, BATCH, seed=0)


def test_a_shard_that_comes_late_is_read(
    bucket: pathlib.Path, local: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stager(bucket, local).begin()
    folder = local / "films" / "train"
    reader = ShardReader(folder, read_manifest(folder), 60)
    name = "video-00003.array_record"

    def arrives(seconds: float) -> None:
        (folder / name).write_bytes((bucket / "films" / "train" / name).read_bytes())

    monkeypatch.setattr(shard_reader.time, "sleep", arrives)
    assert reader.read([50])[0, 0, 0, 0] == 50
    (folder / name).unlink()
    reader.read([0])
    assert list(reader._open) == [0], "a deleted shard is let go of, so that its space is free"


def test_windows_are_needed_in_the_order_in_which_they_are_read(bucket: pathlib.Path) -> None:
    mixture, manifests = Mixture(MIXTURE, BATCH), {s: read_manifest(bucket / s / "train") for s in RECORDS}
    plan = StagePlan(mixture, manifests, WINDOW, 0, STEPS)
    owner: dict[str, Callable[[int], str]] = {
        source: lambda number, s=source: (
            read_manifest(bucket / s / "train")
            .shards[int(np.searchsorted(np.cumsum(RECORDS[s]), number, side="right"))]
            .file
        )
        for source in RECORDS
    }
    for begin in (0, 17, 31):
        needs = list(plan.needs(begin))
        assert [need.step for need in needs] == sorted(need.step for need in needs)
        # Independently: what each source's clips are, walked batch by batch.
        for source in RECORDS:
            mine = [need for need in needs if need.source == source]
            at = 0
            for step in range(begin, 40):
                first, end = (int(mixture.taken(s)[mixture.names.index(source)]) for s in (step, step + 1))
                for place in range(first, end):
                    file = owner[source](int(plan._orders[source].numbers(np.array([place]))[0]))
                    while file not in [shard.file for shard in mine[at].shards]:
                        at += 1
                        assert mine[at].step == step, "a window is due when it is first read from"
