import json
import pathlib

import pytest

from tests.data.sources.trees import touch
from tests.data.whole_job import pretokenize
from toto_jax.data.media import in_class_order
from toto_jax.data.sources import lists
from toto_jax.data.sources.registry import list_media
from toto_jax.errors import DataError


def test_path_and_class_stand_apart_by_tab_comma_or_space(tmp_path: pathlib.Path, data_config) -> None:
    touch(tmp_path, "a/x.mp4", "a/my dog.mp4", "a, b.avi", "frames/000.jpg", "frames/001.jpg", "z.png")
    (tmp_path / "train.csv").write_text("a/x.mp4 10\n\na/my dog.mp4 9\na, b.avi,riding a bike\nframes 10\n")
    (tmp_path / "val.txt").write_text(f"a/my dog.mp4\n{tmp_path}/z.png\tpostcard\ngone.mp4 2\n")
    annotations = ("train.csv", "val.txt")
    data = data_config(tmp_path, layout="listed", annotations=annotations, labels="layout")
    items = list_media(data, 0)
    assert [(item.name, item.kind, item.label, item.size, item.split) for item in items] == [
        (f"{tmp_path}/z.png", "image", "postcard", 3, "validation"),
        ("a, b.avi", "video", "riding a bike", 3, "train"),
        ("a/my dog.mp4", "video", "9", 3, "train"),
        ("a/x.mp4", "video", "10", 3, "train"),
        ("frames", "video", "10", 2, "train"),
        ("gone.mp4", "video", "2", 0, "validation"),
    ]
    assert in_class_order(item.label for item in items) == ["2", "9", "10", "postcard", "riding a bike"]
    unlabelled = list_media(data_config(tmp_path, layout="listed", annotations=annotations), 0)
    assert {item.label for item in unlabelled} == {None}


def test_ucf101_by_its_official_lists(tmp_path: pathlib.Path, data_config) -> None:
    name = "{0}/v_{0}_g0{1}_c01.avi".format
    train, test = [name("YoYo", 8), name("ApplyEyeMakeup", 9)], [name("ApplyEyeMakeup", 1), name("YoYo", 2)]
    touch(tmp_path / "UCF-101", *train, *test[:1])
    lists = tmp_path / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "classInd.txt").write_text("1 ApplyEyeMakeup\r\n101 YoYo\r\n")
    (lists / "trainlist01.txt").write_text(f"{train[0]} 101\r\n{train[1]} 1\r\n")
    (lists / "testlist01.txt").write_text("\r\n".join(test))
    annotations = ("../ucfTrainTestlist/trainlist01.txt", "../ucfTrainTestlist/testlist01.txt")
    data = data_config(tmp_path / "UCF-101", layout="ucf101", annotations=annotations, labels="layout")
    assert [(item.name, item.label, item.split, item.size) for item in list_media(data, 0)] == [
        (test[0], "ApplyEyeMakeup", "validation", 3),
        (train[1], "ApplyEyeMakeup", "train", 3),
        (test[1], "YoYo", "validation", 0),
        (train[0], "YoYo", "train", 3),
    ]


def test_lists_of_nothing_are_told(tmp_path: pathlib.Path, data_config) -> None:
    (tmp_path / "a.txt").write_text("\n")
    with pytest.raises(DataError, match="a.txt has no lines; it should be one or more lists of 'path label'"):
        list_media(data_config(tmp_path, layout="listed", annotations=("a.txt",)), 0)
    (tmp_path / "a.txt").write_text("x.mp4 1\ny.mp4 2\n")
    with pytest.raises(DataError, match=r"Nothing of the 2 inputs .*a.txt names exists; the last is .*y.mp4"):
        list_media(data_config(tmp_path, layout="listed", annotations=("a.txt",)), 0)
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(DataError, match="a.txt is not text in UTF-8"):
        list_media(data_config(tmp_path, layout="listed", annotations=("a.txt",)), 0)


@pytest.mark.parametrize(
    ("line", "parted"),
    [
        ("a/b.mp4 3", ("a/b.mp4", "3")),
        ("my video.mp4,ride a bike", ("my video.mp4", "ride a bike")),
        ("Hello, world.mp4 3", ("Hello, world.mp4", "3")),
        ("Hello, world.mp4", ("Hello, world.mp4", None)),
        ("frames/x 4", ("frames/x", "4")),
        ("a.mp4\tsurf, or swim", ("a.mp4", "surf, or swim")),
    ],
)
def test_a_file_ends_with_its_extension(line: str, parted: tuple[str, str | None]) -> None:
    assert lists._parse(line) == parted


@pytest.mark.parametrize("layout", ["listed", "ucf101"])
def test_listed_files_that_are_missing_are_rejected_by_name(
    make_video, tmp_path: pathlib.Path, clips_config, data_config, decoding, layout: str
) -> None:
    make_video("media/a.mp4", range(8))
    (tmp_path / "media" / "train.txt").write_text("a.mp4 1\nb.mp4 1\n")
    data = data_config(tmp_path / "media", layout=layout, annotations=("train.txt",), labels="layout")
    manifest = pretokenize(data, clips_config(), decoding, None, tmp_path / "out", 0)["train"]
    assert manifest.class_names == (("1",) if layout == "listed" else ("media",))
    ledger = (tmp_path / "out" / "train" / "rejected.jsonl").read_text()
    assert json.loads(ledger) == {"source": "b.mp4", "reason": "b.mp4 does not exist"}
