import importlib
import pathlib

import pytest

from configs import base
from tests.data.sources.trees import touch
from toto_jax.data.config import LAYOUTS
from toto_jax.data.media import split
from toto_jax.data.sources import registry
from toto_jax.data.sources.registry import list_media
from toto_jax.data.synthetic import MOTIONS
from toto_jax.errors import ConfigError, DataError
from toto_jax.settings import parse

ROOT = pathlib.Path(__file__).resolve().parents[3]


def test_every_layout_of_the_config_is_there() -> None:
    assert set(registry._LIST_ITEMS) == set(LAYOUTS)


def test_synthetic_media_are_named_after_their_motion(data_config) -> None:
    items = list_media(data_config("synthetic"), 16)
    assert len(items) == 16
    assert {item.label for item in items} == set(MOTIONS)
    assert all(item.path is None and item.kind == "video" for item in items)
    assert [item.name for item in items] == sorted(item.name for item in items)


def test_an_input_that_is_named_twice_counts_once_and_in_one_split(
    tmp_path: pathlib.Path, data_config
) -> None:
    (tmp_path / "a.mp4").write_bytes(b"1")
    (tmp_path / "train.txt").write_text("a.mp4 1\n")
    (tmp_path / "val.txt").write_text("a.mp4 2\na.mp4 3\n")
    data = data_config(tmp_path, layout="listed", annotations=("train.txt", "val.txt"), labels="layout")
    (item,) = list_media(data, 0)
    assert (item.name, item.label, item.split) == ("a.mp4", "1", "train")
    assert split([item], 50.0)["validation"] == []


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "tfds"])
def test_an_empty_or_missing_source_is_told(layout: str, tmp_path: pathlib.Path, data_config) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "list.csv").write_text("video_id,youtube_id,video_uid,time_start,time_end\n")
    annotations = () if layout in ("files", "webdataset", "imagenet") else ("list.csv",)
    for media in (tmp_path / "empty", tmp_path / "gone"):
        with pytest.raises(DataError, match="has no|neither|is not a folder|Nothing of the 1 inputs"):
            list_media(data_config(media, layout=layout, annotations=annotations), 0)


@pytest.mark.parametrize("layout", ["kinetics", "ego4d", "howto100m", "listed", "ucf101"])
def test_lists_must_be_named_and_exist(layout: str, tmp_path: pathlib.Path, data_config) -> None:
    with pytest.raises(ConfigError, match="config.data.annotations is empty: this layout needs"):
        list_media(data_config(tmp_path, layout=layout), 0)
    with pytest.raises(DataError, match=r"names 'gone.csv', but there is no file .*gone.csv; it should be"):
        list_media(data_config(tmp_path, layout=layout, annotations=("gone.csv",)), 0)


def test_what_would_not_be_read_is_refused(tmp_path: pathlib.Path, data_config) -> None:
    with pytest.raises(ConfigError, match="config.data.media is empty"):
        list_media(data_config(""), 0)
    for media in ("synthetic", tmp_path):
        with pytest.raises(ConfigError, match="have none; layouts with annotations: imagenet, kinetics"):
            list_media(data_config(media, annotations=("a.csv",)), 0)
    with pytest.raises(ConfigError, match="did you mean 'layout'"):
        data_config(tmp_path, labels="layouts")
    with pytest.raises(ConfigError, match="did you mean 'webdataset'"):
        data_config(tmp_path, layout="webdatasets")
    with pytest.raises(ConfigError, match=r"must be a tuple of names, not 'a.csv'; of one: \('a.csv',\)"):
        data_config(tmp_path, annotations="a.csv")


# What each config of configs/pretokenize is for, as it lies on a disk: path -> text, "" for media.
TREES = {
    "imagenet": {"train/n01440764/a.JPEG": "", "val/n01440764/b.JPEG": ""},
    "imagenet21k": {"n00004475/n00004475_6590.JPEG": "", "n00004475/n00004475_7.JPEG": ""},
    "kinetics400": {
        "train/-3B32lodo2M_000059_000069.mp4": "",
        "val/--07WQ2iBlw_000001_000011.mp4": "",
        "annotations/train.csv": "label,youtube_id,time_start,time_end,split\na b,-3B32lodo2M,59,69,train\n",
        "annotations/val.csv": "label,youtube_id,time_start,time_end,split\na b,--07WQ2iBlw,1,11,val\n",
    },
    "kinetics600": {
        "train/-0-8vlGA_c0_000000_000010.mp4": "",
        "val/--07WQ2iBlw_000001_000011.mp4": "",
        "annotations/train.txt": "label,youtube_id,time_start,time_end,split\na,-0-8vlGA_c0,0,10,train\n",
        "annotations/val.txt": "label,youtube_id,time_start,time_end,split\na,--07WQ2iBlw,1,11,val\n",
    },
    "ego4d": {"a-1.mp4": "", "b-2.mp4": "", "manifest.csv": "video_uid,duration_sec\na-1,9\nb-2,9\n"},
    "howto100m": {"x.mp4": "", "y.webm": "", "../HowTo100M_v1.csv": "video_id,rank\nx,1\ny,2\n"},
    "ucf101": {
        "YoYo/v_YoYo_g08_c01.avi": "",
        "YoYo/v_YoYo_g01_c01.avi": "",
        "../ucfTrainTestlist/trainlist01.txt": "YoYo/v_YoYo_g08_c01.avi 101\n",
        "../ucfTrainTestlist/testlist01.txt": "YoYo/v_YoYo_g01_c01.avi\n",
    },
    "listed": {"a/x.mp4": "", "a/y.mp4": "", "train.csv": "a/x.mp4 0\n", "val.csv": "a/y.mp4 0\n"},
    "videos": {"a/b/x.mov": "", "y.png": ""},
}  # fmt: skip
ELSEWHERE = {"webdataset", "imagenet_tfds", "ucf101_tfds"}  # their own tests write such sets


@pytest.mark.parametrize("name", TREES)
def test_a_config_lists_the_tree_that_it_is_for(name: str, tmp_path: pathlib.Path) -> None:
    config = importlib.import_module(f"configs.pretokenize.{name}").get_config()
    media = tmp_path / "media"
    for path, text in TREES[name].items():
        touch(media, path, content=text.encode() or b"123")
    config.data.media = str(media)
    parts = split(list_media(parse(config).data, 0), config.clips.validation_percent)
    assert [len(parts["train"]), len(parts["validation"])] == [1, 1]
    (kept, held_out) = (*parts["train"], *parts["validation"])
    assert (kept.label is None) == (config.data.labels == "none")
    assert kept.label == held_out.label
    assert pathlib.Path(kept.path).read_bytes() == pathlib.Path(held_out.path).read_bytes() == b"123"


def test_every_config_for_media_says_its_command_and_keeps_the_papers_clips() -> None:
    files = {path.stem: path for path in (ROOT / "configs" / "pretokenize").glob("*.py")}
    assert set(files) == set(TREES) | ELSEWHERE
    written = set()
    for name in files:
        module = importlib.import_module(f"configs.pretokenize.{name}")
        assert f"--config=configs/pretokenize/{name}.py --workdir=" in module.__doc__
        settings = parse(module.get_config())
        assert (settings.clips.size, settings.clips.frames, settings.clips.stride) == (128, 16, 4)
        assert settings.geometry.codes == 4096
        (source,) = settings.data.mixture
        written.add(source)
    assert set(base.get_config().data.mixture) <= written
