import pathlib

import pytest

from tests.data.sources.trees import touch
from toto_jax.data.media import MediaItem
from toto_jax.data.sources.registry import list_media
from toto_jax.errors import DataError


def names(items: list[MediaItem]) -> list[str]:
    return [item.name for item in items]


def test_a_folder_is_searched_to_any_depth_by_extension(tmp_path: pathlib.Path, data_config) -> None:
    touch(tmp_path, "b.MP4", "a/c/d.jpeg", "a/e.gif", "notes.txt", ".hidden.mp4", ".cache/f.mp4")
    items = list_media(data_config(tmp_path), 0)
    assert names(items) == ["a/c/d.jpeg", "a/e.gif", "b.MP4"]
    assert [item.kind for item in items] == ["image", "video", "video"]
    assert [item.label for item in items] == [None] * 3
    assert [item.size for item in items] == [None, 3, 3], "pictures are not looked at one by one"
    assert items[0].path == str(tmp_path / "a" / "c" / "d.jpeg")
    assert {item.split for item in items} == {None}


def test_a_broken_link_is_known_to_be_missing(tmp_path: pathlib.Path, data_config) -> None:
    touch(tmp_path, "a.png")
    (tmp_path / "b.png").symlink_to("a.png")
    (tmp_path / "c.png").symlink_to("gone.png")
    items = list_media(data_config(tmp_path), 0)
    assert [(item.name, item.size) for item in items] == [("a.png", None), ("b.png", None), ("c.png", 0)]


def test_labels_are_names_of_folders(tmp_path: pathlib.Path, data_config, monkeypatch) -> None:
    touch(tmp_path / "top", "x.mp4", "run/y.mp4", "deep/jump/z.mp4")
    items = list_media(data_config(tmp_path / "top", labels="layout"), 0)
    assert [item.label for item in items] == ["jump", "run", "top"]
    monkeypatch.chdir(tmp_path / "top")
    assert list_media(data_config(".", labels="layout"), 0)[-1].label == "top"


def test_a_list_names_files_relative_to_itself(tmp_path: pathlib.Path, data_config) -> None:
    touch(tmp_path, "sub/x.mp4", "sub/y.dat", "z.png")
    (tmp_path / "sub" / "list.txt").write_text("y.dat\n\n x.mp4 \n../z.png\nx.mp4\ngone.mp4\n")
    items = list_media(data_config(tmp_path / "sub" / "list.txt"), 0)
    assert names(items) == ["../z.png", "gone.mp4", "x.mp4", "y.dat"]
    assert [item.kind for item in items] == ["image", "video", "video", "video"]
    assert [item.size for item in items] == [3, 0, 3, 3]


def test_one_file_is_media_too(tmp_path: pathlib.Path, data_config) -> None:
    touch(tmp_path, "x.webm", "y.webm")
    assert names(list_media(data_config(tmp_path / "x.webm"), 0)) == ["x.webm"]


def test_what_is_missing_is_told(tmp_path: pathlib.Path, data_config) -> None:
    with pytest.raises(DataError, match="gone.* is neither a file nor a folder"):
        list_media(data_config(tmp_path / "gone"), 0)
    touch(tmp_path / "texts", "a.txt", "sub/b.txt", "c.pdf", "README")
    with pytest.raises(DataError, match=r"no videos .*mp4.* or images .*jpg.* 4 files \(2 of .txt, 1 of"):
        list_media(data_config(tmp_path / "texts"), 0)
    (tmp_path / "empty.txt").write_text("\n\n")
    with pytest.raises(DataError, match="has no lines"):
        list_media(data_config(tmp_path / "empty.txt"), 0)
    (tmp_path / "weights.bin").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(DataError, match="neither a folder, a list"):
        list_media(data_config(tmp_path / "weights.bin"), 0)
