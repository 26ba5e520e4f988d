import pathlib

import jax
import numpy as np
import pytest

from toto_jax.data.clip_record import ClipRecord
from toto_jax.data.manifest import MANIFEST, Manifest
from toto_jax.data.pipeline import Pipeline, check_geometry, to_devices
from toto_jax.data.shard_writer import ShardWriter
from toto_jax.errors import ConfigError, DataError
from toto_jax.sharding.mesh import MeshConfig, make_mesh
from toto_jax.tokenizers.base import TokenizerSpec
from toto_jax.video import IMAGE_START, VIDEO_START, ClipGeometry

GEOMETRY = ClipGeometry(2, 2, 2)


def spec(content_hash: str = "a" * 64) -> TokenizerSpec:
    return TokenizerSpec("dvae", 4096, 4, {}, content_hash)


def write(
    root: pathlib.Path,
    source: str,
    clips: dict[str, list[int]],
    made_by: TokenizerSpec | None = None,
    shape: tuple[int, ...] = (2, 2, 2),
) -> None:
    """Writes a source whose clip n is all code n, so that a batch shows which clips it has."""
    folder = root / source / "train"
    folder.mkdir(parents=True)
    shards = []
    for kind, numbers in clips.items():
        for part, some in enumerate([numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]]):
            writer = ShardWriter(folder, f"{kind}-{part:05}", kind)
            for number in some:
                record = ClipRecord(kind, (f"{number}",), (None,), 0.0, 1.0, (0, 1), ((0, 0),))
                writer.add(np.full(shape, number, np.uint16), record)
            shards.append(writer.commit("digest").shard)
    manifest = Manifest(made_by or spec(), shape, "uint16", None, tuple(shards), (), 0, {})
    (folder / MANIFEST).write_text(manifest.to_json())


@pytest.fixture
def shards(tmp_path: pathlib.Path) -> pathlib.Path:
    write(tmp_path, "films", {"video": list(range(40))})
    write(tmp_path, "photos", {"image": list(range(100, 120))})
    return tmp_path


def clips_of(batch: dict[str, np.ndarray]) -> list[int]:
    return [int(row[1]) - 4 for row in batch["ids"]]


def pipeline(shards: pathlib.Path, **changes: object) -> Pipeline:
    values = dict(mixture={"films": 3, "photos": 1}, batch_size=16, seed=0)
    return Pipeline(shards, **{**values, **changes})


def test_rows_are_sequences_with_the_start_token_of_their_kind(shards: pathlib.Path) -> None:
    ids_BT = pipeline(shards).batch_at(0)["ids"]
    assert ids_BT.shape == (16, GEOMETRY.sequence_length)
    assert ids_BT.dtype == np.int32
    for row in ids_BT:
        assert row[0] == (IMAGE_START if row[1] >= 104 else VIDEO_START)
        assert row[-1] == 2
        assert (row[1:-1] == row[1]).all()


def test_every_batch_has_the_mixtures_shares(shards: pathlib.Path) -> None:
    data = pipeline(shards)
    for step in range(5):
        assert sum(number >= 100 for number in clips_of(data.batch_at(step))) == 4


def test_an_epoch_shows_each_clip_once_in_an_order_of_its_own(shards: pathlib.Path) -> None:
    data = pipeline(shards, mixture={"films": 1}, batch_size=8)
    epochs = [
        sum((clips_of(data.batch_at(step)) for step in range(first, first + 5)), []) for first in (0, 5)
    ]
    for epoch in epochs:
        assert sorted(epoch) == list(range(40))
        assert epoch != sorted(epoch)
    assert epochs[0] != epochs[1]


def test_the_shuffle_is_global(shards: pathlib.Path) -> None:
    """One batch of the first epoch draws from the front and the back of the source alike."""
    first = clips_of(pipeline(shards, mixture={"films": 1}, batch_size=16).batch_at(0))
    assert min(first) < 10
    assert max(first) >= 30


# Changes after 3 and 7 steps of 16 rows; blocks of 4, 3 and 5 rows.
CHANGING = {"films": ((0, 3), (3, 1), (7, 5)), "photos": ((0, 1), (3, 2), (7, 0))}
WAYS = [{}, {"mixture": CHANGING}, {"window": 1}, {"mixture": CHANGING, "window": 1}]


@pytest.mark.parametrize("changes", WAYS)
@pytest.mark.parametrize("processes", [2, 8])
def test_any_number_of_processes_reads_the_same_global_batches(
    shards: pathlib.Path, processes: int, changes: dict[str, object]
) -> None:
    alone = pipeline(shards, **changes)
    parts = [
        pipeline(shards, process_index=index, process_count=processes, **changes)
        for index in range(processes)
    ]
    for step in (0, 2, 3, 6, 7, 100_000):
        together = np.concatenate([part.batch_at(step)["ids"] for part in parts])
        np.testing.assert_array_equal(alone.batch_at(step)["ids"], together)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_iterator_gives_what_batch_at_says_whatever_reads(shards: pathlib.Path, workers: int) -> None:
    """Also where a run goes on just before weights change, and in windows."""
    ways = dict(mixture=CHANGING, window=1, process_index=1, process_count=2)
    data = pipeline(shards, **ways)
    iterator = pipeline(shards, workers=workers, **ways).batches_from(5)
    for step in range(5, 9):
        np.testing.assert_array_equal(next(iterator)["ids"], data.batch_at(step)["ids"])
    iterator.close()


def test_weights_change_at_their_step_and_no_clip_is_skipped_or_repeated(shards: pathlib.Path) -> None:
    data = pipeline(shards, mixture=CHANGING)
    batches = [clips_of(data.batch_at(step)) for step in range(12)]
    photos = [sum(number >= 100 for number in batch) for batch in batches]
    # 48 rows of 1 in 4; 64 of 2 in 3, all but the last in whole blocks; none.
    assert (sum(photos[:3]), sum(photos[7:])) == (12, 0)
    assert abs(sum(photos[3:7]) - 64 * 2 / 3) < 1
    films, images = (
        [number for batch in batches for number in batch if (number >= 100) == late] for late in (False, True)
    )
    for seen, clips in ((films, range(40)), (images, range(100, 120))):
        for first in range(0, len(seen) - len(clips) + 1, len(clips)):
            assert sorted(seen[first : first + len(clips)]) == list(clips)


def test_a_window_of_shards_is_gone_through_before_the_next(shards: pathlib.Path) -> None:
    data = pipeline(shards, mixture={"films": 1}, batch_size=4, window=1)
    epoch = sum((clips_of(data.batch_at(step)) for step in range(10)), [])
    assert sorted(epoch) == list(range(40))
    halves = [sorted(epoch[:20]), sorted(epoch[20:])]
    assert sorted(halves) == [list(range(20)), list(range(20, 40))], "each shard holds twenty"
    assert epoch[:20] != halves[0]


def test_passes_over_each_source_are_counted(shards: pathlib.Path) -> None:
    data = pipeline(shards)
    assert data.epochs(0) == {"films": 0.0, "photos": 0.0}
    # 12 of 40 and 4 of 20 clips a step.
    assert data.epochs(50) == {"films": 15.0, "photos": 10.0}
    assert data.summary(50) == ["films   75%  40 clips  15 passes", "photos  25%  20 clips  10 passes"]


def test_another_seed_is_another_order(shards: pathlib.Path) -> None:
    assert clips_of(pipeline(shards).batch_at(0)) != clips_of(pipeline(shards, seed=1).batch_at(0))


def test_adding_a_source_leaves_anothers_order_alone(shards: pathlib.Path) -> None:
    films = [n for n in clips_of(pipeline(shards).batch_at(0)) if n < 100]
    assert clips_of(pipeline(shards, mixture={"films": 1}).batch_at(0))[: len(films)] == films


def test_shards_of_another_tokenizer_are_refused_with_both_named(shards: pathlib.Path) -> None:
    write(shards, "other", {"video": [1, 2]}, spec("b" * 64))
    with pytest.raises(
        DataError,
        match="'other' were written by the tokenizer dvae bbbbbbbbbbbb.*'films' by dvae aaaaaaaaaaaa",
    ):
        pipeline(shards, mixture={"films": 1, "other": 1})


def test_a_missing_source_and_a_missing_shard_are_named(shards: pathlib.Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        pipeline(shards, mixture={"nowhere": 1})
    next((shards / "films" / "train").glob("video-00000.array_record")).unlink()
    with pytest.raises(DataError, match="video-00000.array_record is missing"):
        pipeline(shards)


def test_a_source_without_clips_is_an_error(shards: pathlib.Path) -> None:
    folder = shards / "empty" / "train"
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text(Manifest(spec(), (2, 2, 2), "uint16", None, (), (), 3, {}).to_json())
    with pytest.raises(DataError, match="empty/train holds no clips.*rejected.jsonl"):
        pipeline(shards, mixture={"empty": 1})


def test_a_named_source_may_have_another_shape_with_as_many_codes(shards: pathlib.Path) -> None:
    write(shards, "wide", {"image": list(range(200, 220))}, shape=(1, 2, 4))
    mixture = {"films": 1, "wide": 1}
    with pytest.raises(
        DataError, match=r"'wide' have the shape \(1, 2, 4\).*or name 'wide' in .*other_shapes"
    ):
        pipeline(shards, mixture=mixture)
    ids_BT = pipeline(shards, mixture=mixture, other_shapes=("wide",)).batch_at(0)["ids"]
    assert ids_BT.shape == (16, GEOMETRY.sequence_length)
    assert sum(ids_BT[:, 1] >= 204) == 8
    for row in ids_BT:
        assert row[0] == (IMAGE_START if row[1] >= 204 else VIDEO_START)
        assert (row[1:-1] == row[1]).all()


def test_other_shapes_are_not_accepted_without_need(shards: pathlib.Path) -> None:
    write(shards, "long", {"video": list(range(8))}, shape=(3, 2, 2))
    with pytest.raises(DataError, match=r"'long' have the shape \(3, 2, 2\).*same config.clips$"):
        pipeline(shards, mixture={"films": 1, "long": 1}, other_shapes=("long",))
    with pytest.raises(ConfigError, match="names 'photos', whose clips have the shape of those of 'films'"):
        pipeline(shards, other_shapes=("photos",))
    with pytest.raises(ConfigError, match="names all sources of positive weight"):
        pipeline(shards, other_shapes=("films", "photos"))


def test_shards_of_another_shape_say_what_would_fit(shards: pathlib.Path) -> None:
    manifests = pipeline(shards).manifests
    check_geometry(manifests, GEOMETRY, 4096)
    with pytest.raises(ConfigError, match="config.clips.frames=2.*config.clips.size=8.*codebook_size=4096"):
        check_geometry(manifests, ClipGeometry(4, 2, 2), 4096)


def test_a_batch_that_does_not_divide_by_the_processes_is_an_error(shards: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match="batch_size=16 doesn't divide by 3 processes; 15 or 18 would"):
        pipeline(shards, process_count=3)


def test_batches_lie_on_the_devices_in_order(shards: pathlib.Path) -> None:
    mesh = make_mesh(MeshConfig(1, 2, 4, 1, 1))
    rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(("data", "fsdp")))
    data = pipeline(shards)
    placed = to_devices((data.batch_at(step) for step in range(4)), {"ids": rows}, ahead=2)
    for step, batch in enumerate(placed):
        assert batch["ids"].sharding == rows
        np.testing.assert_array_equal(batch["ids"], data.batch_at(step)["ids"])
    assert step == 3
