import hashlib
import pathlib

import pytest

from toto_jax.data.media import MediaItem, list_media, split
from toto_jax.data.synthetic import MOTIONS
from toto_jax.errors import ConfigError, DataError


def touch(root: pathlib.Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"123")


def names(items: list[MediaItem]) -> list[str]:
    return [item.name for item in items]


def test_a_folder_is_searched_to_any_depth_by_extension(tmp_path: pathlib.Path) -> None:
    touch(tmp_path, "b.MP4", "a/c/d.jpeg", "a/e.gif", "notes.txt", ".hidden.mp4", ".cache/f.mp4")
    items = list_media(str(tmp_path), "none", 0)
    assert names(items) == ["a/c/d.jpeg", "a/e.gif", "b.MP4"]
    assert [item.kind for item in items] == ["image", "video", "video"]
    assert [item.label for item in items] == [None] * 3
    assert [item.size for item in items] == [3] * 3
    assert items[0].path == tmp_path / "a" / "c" / "d.jpeg"


def test_labels_are_names_of_folders(tmp_path: pathlib.Path) -> None:
    touch(tmp_path / "top", "x.mp4", "run/y.mp4", "deep/jump/z.mp4")
    assert [item.label for item in list_media(str(tmp_path / "top"), "folder", 0)] == ["jump", "run", "top"]


def test_links_are_followed_once_and_loops_end(tmp_path: pathlib.Path) -> None:
    touch(tmp_path / "real", "x.mp4")
    touch(tmp_path / "root", "a/y.mp4")
    (tmp_path / "root" / "a" / "loop").symlink_to(tmp_path / "root")
    (tmp_path / "root" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "root" / "broken.mp4").symlink_to(tmp_path / "gone.mp4")
    items = list_media(str(tmp_path / "root"), "none", 0)
    assert names(items) == ["a/y.mp4", "broken.mp4", "link/x.mp4"]


def test_a_list_names_files_relative_to_itself(tmp_path: pathlib.Path) -> None:
    touch(tmp_path, "sub/x.mp4", "sub/y.dat", "z.png")
    (tmp_path / "sub" / "list.txt").write_text("y.dat\n\n x.mp4 \n../z.png\nx.mp4\ngone.mp4\n")
    items = list_media(str(tmp_path / "sub" / "list.txt"), "none", 0)
    assert names(items) == ["../z.png", "gone.mp4", "x.mp4", "y.dat"]
    assert [item.kind for item in items] == ["image", "video", "video", "video"]
    assert [item.size for item in items] == [3, 0, 3, 3]


def test_one_file_is_media_too(tmp_path: pathlib.Path) -> None:
    touch(tmp_path, "x.webm", "y.webm")
    assert names(list_media(str(tmp_path / "x.webm"), "none", 0)) == ["x.webm"]


def test_what_is_missing_is_told(tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataError, match="gone.* is neither a file nor a folder"):
        list_media(str(tmp_path / "gone"), "none", 0)
    touch(tmp_path / "texts", "a.txt", "sub/b.txt", "c.pdf", "README")
    with pytest.raises(DataError, match=r"no videos .*mp4.* or images .*jpg.* 4 files \(2 of .txt, 1 of"):
        list_media(str(tmp_path / "texts"), "none", 0)
    (tmp_path / "empty.txt").write_text("\n\n")
    with pytest.raises(DataError, match="has no lines"):
        list_media(str(tmp_path / "empty.txt"), "none", 0)
    (tmp_path / "weights.bin").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(DataError, match="neither a folder, a list"):
        list_media(str(tmp_path / "weights.bin"), "none", 0)
    with pytest.raises(ConfigError, match="config.data.media is empty"):
        list_media("", "none", 0)
    with pytest.raises(ConfigError, match="did you mean 'folder'"):
        list_media("synthetic", "folders", 4)


def test_synthetic_media_are_named_after_their_motion() -> None:
    items = list_media("synthetic", "folder", 16)
    assert len(items) == 16
    assert {item.label for item in items} == set(MOTIONS)
    assert all(item.path is None and item.kind == "video" for item in items)
    assert names(items) == sorted(names(items))
    assert {item.label for item in list_media("synthetic", "none", 16)} == set(MOTIONS), (
        "labels cost nothing here"
    )


def items_of(count: int) -> list[MediaItem]:
    return [MediaItem(f"{number}.mp4", "video", None, None, 0) for number in range(count)]


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
