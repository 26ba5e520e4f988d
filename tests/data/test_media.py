import errno
import hashlib
import json
import os
import pathlib
import pickle

import pytest

from toto_jax.data.media import MediaItem, file_item, in_class_order, official_split, split, walk
from toto_jax.errors import DataError, StorageError


def names(items: list[MediaItem]) -> list[str]:
    return [item.name for item in items]


def items_of(count: int, official: str | None = None) -> list[MediaItem]:
    start = official or ""
    return [MediaItem(f"{start}{number}.mp4", "video", None, None, 0, official) for number in range(count)]


def test_validation_are_the_smallest_hashes() -> None:
    parts = split(items_of(50), 10.0)
    hashes = {f"{number}.mp4": hashlib.sha256(f"{number}.mp4".encode()).hexdigest() for number in range(50)}
    assert set(names(parts["validation"])) == set(sorted(hashes, key=hashes.get)[:5])
    assert sorted(names(parts["train"] + parts["validation"])) == sorted(hashes)


@pytest.mark.parametrize(
    ("count", "percent", "expected"),
    [(1, 50.0, 0), (2, 0.1, 1), (2, 99.9, 1), (10, 0.0, 0), (10, 100.0, 10), (1000, 2.0, 20)],
)
def test_both_splits_get_something_where_they_can(count: int, percent: float, expected: int) -> None:
    parts = split(items_of(count), percent)
    assert len(parts["validation"]) == expected
    assert len(parts["train"]) == count - expected


def test_official_splits_are_kept_and_only_the_rest_is_drawn() -> None:
    train, validation, rest = items_of(30, "train"), items_of(3, "validation"), items_of(20)
    parts = split([*rest, *train, *validation], 25.0)
    assert {item.name for item in parts["validation"]} >= set(names(validation))
    assert {item.name for item in parts["train"]} >= set(names(train))
    assert len(parts["validation"]) == 3 + 5
    assert len(parts["train"]) == 30 + 15
    assert split(train, 50.0) == {"train": train, "validation": []}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("train.csv", "train"),
        ("trainlist01.txt", "train"),
        ("kinetics_400_val", "validation"),
        ("validate", "validation"),
        ("testlist03", "validation"),
        ("imagenet-train-000012.tar", "train"),
        ("HowTo100M_v1", None),
        ("trains_in_the_valley", None),
        ("train_and_test", None),
    ],
)
def test_splits_are_told_by_whole_words(name: str, expected: str | None) -> None:
    assert official_split(name) == expected


def test_numbers_sort_as_numbers_and_before_names() -> None:
    labels = ["10", "2", "b", None, "a", "2", "-1", "1.5", "007"]
    assert in_class_order(labels) == ["2", "007", "10", "-1", "1.5", "a", "b"]


def test_an_item_survives_json_and_pickle_and_is_small() -> None:
    odd = os.fsdecode(b"broken \xff name\n.mp4")
    for item in (
        MediaItem("a/b.mp4", "video", "jump", "/data/a/b.mp4", 17, "train"),
        MediaItem("s.tar/a.jpg", "image", "1", "/data/s.tar", 9, None, 512),
        MediaItem(
            "set/1.0.0/test/000000003", "video", None, "/data/set/1.0.0/test", None, "validation", None, 3
        ),
        MediaItem(odd, "video", None, None, 0),
    ):
        line = item.to_json()
        assert "\n" not in line
        assert MediaItem.from_json(line) == item == pickle.loads(pickle.dumps(item))
    assert json.loads(line) == {"name": odd, "kind": "video", "size": 0}
    assert not hasattr(item, "__dict__")


def test_labels_that_items_share_are_held_once() -> None:
    lines = [MediaItem(name, "video", "jump rope", "/x", 1, "train").to_json() for name in "ab"]
    first, second = map(MediaItem.from_json, lines)
    assert first.label is second.label


def test_links_are_followed_once_and_loops_end(tmp_path: pathlib.Path) -> None:
    for name in ("real/x.mp4", "root/a/y.mp4", "root/.hidden/z.mp4"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"123")
    (tmp_path / "root" / "a" / "loop").symlink_to(tmp_path / "root")
    (tmp_path / "root" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "root" / "broken.mp4").symlink_to(tmp_path / "gone.mp4")
    assert sorted(walk(tmp_path / "root")) == ["a/y.mp4", "broken.mp4", "link/x.mp4"]


def test_a_folder_that_cannot_be_listed_is_told(tmp_path: pathlib.Path, monkeypatch) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match="can't be listed: Permission denied"):
        list(walk(tmp_path))


def test_a_changed_file_is_another_input_where_it_is_looked_at(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"123")
    before = file_item("a.mp4", str(path))
    path.write_bytes(b"1234")
    assert (before.size, file_item("a.mp4", str(path)).size) == (3, 4)
    assert file_item("a.mp4", str(path), look=False).size is None
    assert file_item("b.mp4", str(tmp_path / "b.mp4")).size == 0


def test_a_disk_that_is_away_leaves_no_file_missing(tmp_path: pathlib.Path, monkeypatch) -> None:
    def away(path: str) -> None:
        raise OSError(errno.ESTALE, "Stale file handle", path)

    monkeypatch.setattr(os, "stat", away)
    with pytest.raises(StorageError, match="a.mp4 can't be looked at: Stale file handle"):
        file_item("a.mp4", str(tmp_path / "a.mp4"))
