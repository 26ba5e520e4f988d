import pathlib

import pytest

from tests.data.sources.trees import touch
from toto_jax.data.config import DataConfig
from toto_jax.data.sources.registry import list_media
from toto_jax.errors import DataError

TRAIN = ("train/n01440764/n01440764_10026.JPEG", "train/n01443537/n01443537_2.JPEG")
FLAT = tuple(f"val/ILSVRC2012_val_0000000{number}.JPEG" for number in (1, 2, 3))


@pytest.fixture
def tree(tmp_path: pathlib.Path, data_config) -> DataConfig:
    """ILSVRC 2012 as it is unpacked, with the flat folder of validation pictures."""
    touch(tmp_path, *TRAIN, *FLAT, "test/ILSVRC2012_test_00000001.JPEG", "train/notes.txt")
    return data_config(tmp_path, layout="imagenet")


def test_a_tree_of_class_folders(tmp_path: pathlib.Path, data_config) -> None:
    touch(tmp_path, *TRAIN, "val/n01440764/ILSVRC2012_val_00000293.JPEG", "val/n01443537/clip.mp4")
    items = list_media(data_config(tmp_path, layout="imagenet", labels="layout"), 0)
    assert [(item.name, item.kind, item.label, item.split) for item in items] == [
        (TRAIN[0], "image", "n01440764", "train"),
        (TRAIN[1], "image", "n01443537", "train"),
        ("val/n01440764/ILSVRC2012_val_00000293.JPEG", "image", "n01440764", "validation"),
        ("val/n01443537/clip.mp4", "video", "n01443537", "validation"),
    ]
    assert items[0].path == str(tmp_path / TRAIN[0])
    assert [item.size for item in items] == [None, None, None, 3]
    (tmp_path / TRAIN[0]).unlink()
    (tmp_path / TRAIN[0]).symlink_to("gone.JPEG")
    assert list_media(data_config(tmp_path, layout="imagenet"), 0)[0].size == 0


def test_a_flat_val_folder_needs_nothing_without_classes(tree: DataConfig) -> None:
    items = list_media(tree, 0)
    assert [item.name for item in items] == [*TRAIN, *FLAT]
    assert [item.label for item in items] == [None] * 5


@pytest.mark.parametrize(
    "text",
    [
        "ImageId,PredictionString\n"
        "ILSVRC2012_val_00000003,n01443537 85 1 499 272 n01443537 131 0 499 254\n"
        "ILSVRC2012_val_00000001,n01443537 108 1 9 9\nILSVRC2012_val_00000002,n01440764 1 2 3 4\n",
        "n01443537\nn01440764\nn01443537\n",
        "\ufeffILSVRC2012_val_00000001.JPEG n01443537\r\nILSVRC2012_val_00000002.JPEG n01440764\r\n"
        "ILSVRC2012_val_00000003.JPEG n01443537\r\n",
    ],
)
def test_the_classes_of_a_flat_val_folder_come_from_a_file(tree: DataConfig, text: str, data_config) -> None:
    (pathlib.Path(tree.media) / "classes.txt").write_text(text, encoding="utf-8")
    data = data_config(tree.media, layout="imagenet", labels="layout", annotations=("classes.txt",))
    labels = [item.label for item in list_media(data, 0)]
    assert labels == ["n01440764", "n01443537", "n01443537", "n01440764", "n01443537"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "holds 3 pictures outside class folders, like ILSVRC2012_val_00000001.JPEG: name the file"),
        ("n01443537\nn01440764\n", "has 2 lines: it should have one for each"),
        ("490\n361\n171\n", r"is of class '490', which is no folder of .*train \(like n01440764\)"),
        ("ILSVRC2012_val_00000001.JPEG n01443537", "val_00000002.JPEG is of class None, which is no folder"),
    ],
)
def test_classes_that_cannot_be_told_stop_the_job(
    tree: DataConfig, text: str | None, message: str, data_config
) -> None:
    annotations = ()
    if text is not None:
        (pathlib.Path(tree.media) / "classes.txt").write_text(text)
        annotations = ("classes.txt",)
    data = data_config(tree.media, layout="imagenet", labels="layout", annotations=annotations)
    with pytest.raises(DataError, match=message):
        list_media(data, 0)


def test_a_tree_without_train_says_what_is_there(tmp_path: pathlib.Path, data_config) -> None:
    touch(tmp_path, "ILSVRC/Data/x.JPEG", "LOC_val_solution.csv")
    with pytest.raises(DataError, match="no folder 'train' of class folders; it has ILSVRC, LOC_val_sol"):
        list_media(data_config(tmp_path, layout="imagenet"), 0)
    touch(tmp_path, "train/n01440764.tar")
    with pytest.raises(DataError, match=r"train has no pictures or videos .* 1 files \(1 of .tar\)"):
        list_media(data_config(tmp_path, layout="imagenet"), 0)


def test_real_photos_of_ten_classes(shared_data: pathlib.Path, data_config) -> None:
    root = shared_data / "clothing-small-160"
    items = list_media(data_config(root, layout="imagenet", labels="layout"), 0)
    for split, folder in (("train", "train"), ("validation", "val")):
        found = {(item.path, item.label) for item in items if item.split == split}
        assert found == {(str(path), path.parent.name) for path in (root / folder).glob("*/*.jpg")}
