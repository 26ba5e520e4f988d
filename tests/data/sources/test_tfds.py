"""Sets that tfds itself writes, all without TensorFlow."""

import io
import json
import pathlib
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from tests.data.whole_job import pretokenize
from toto_jax.data.clip_cutting import cut_clips
from toto_jax.data.manifest import Manifest, clip_index
from toto_jax.data.pretokenization import open_job
from toto_jax.data.shard_reader import read_clips
from toto_jax.data.sources import tfds as reader
from toto_jax.data.sources.registry import list_media
from toto_jax.data.timeline import Timeline
from toto_jax.data.worker import Share
from toto_jax.errors import ConfigError, DataError, StorageError
from toto_jax.tokenizers.pixels import PixelsTokenizer

VIDEO = {
    "pythonClassName": "tensorflow_datasets.core.features.video_feature.Video",
    "video": {"shape": {"dimensions": ["-1", "20", "30", "3"]}, "dtype": "uint8", "encodingFormat": "png"},
}


@pytest.fixture
def tfds():
    reader._load.cache_clear()
    reader._source.cache_clear()
    return pytest.importorskip("tensorflow_datasets", reason="the extra tfds is not installed")


def png(grey: int) -> io.BytesIO:
    content = io.BytesIO()
    Image.new("RGB", (30, 20), (grey, grey, grey)).save(content, "png")
    content.seek(0)
    return content


def write_set(tfds, data_dir: pathlib.Path, features: dict, splits: dict[str, list[dict]]) -> pathlib.Path:
    """Lets tfds write a set of the given examples and returns its folder."""

    class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.2.0")

        def _info(self):
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {name: self._generate_examples(examples) for name, examples in splits.items()}

        def _generate_examples(self, examples) -> Iterator[tuple[int, dict]]:
            yield from enumerate(examples)

    builder = Tiny(data_dir=data_dir)
    builder.download_and_prepare(file_format="array_record")
    return pathlib.Path(builder.data_dir)


@pytest.fixture
def photos(tfds, tmp_path: pathlib.Path) -> pathlib.Path:
    """A set like imagenet2012: images, classes, and a test split whose classes nobody is told."""
    features = {
        "image": tfds.features.Image(),
        "file_name": tfds.features.Text(),
        "label": tfds.features.ClassLabel(names=["n01440764", "n01443537"]),
    }

    def examples(count: int, label: int | None = None) -> list[dict]:
        return [
            {"image": png(30 * n), "file_name": f"{n}.JPEG", "label": n % 2 if label is None else label}
            for n in range(count)
        ]

    splits = {"train": examples(8), "validation": examples(4), "test": examples(2, -1)}
    return write_set(tfds, tmp_path / "sets", features, splits)


def test_records_are_items_with_official_splits(photos: pathlib.Path, data_config) -> None:
    data = data_config(photos, layout="tfds", annotations=("train", "validation"))
    items = list_media(data, 0)
    assert [(item.name, item.split) for item in items] == [
        *((f"tiny/1.2.0/train/00000000{n}", "train") for n in range(8)),
        *((f"tiny/1.2.0/validation/00000000{n}", "validation") for n in range(4)),
    ]
    assert {(item.kind, item.label, item.size) for item in items} == {("image", None, None)}
    labelled = list_media(data_config(photos, layout="tfds", labels="layout"), 0)
    assert {item.label for item in labelled if "/test/" in item.name} == {None}
    assert len(labelled) == 14


def test_images_become_clips_with_their_classes(
    photos: pathlib.Path, tmp_path: pathlib.Path, clips_config, data_config, decoding
) -> None:
    data = data_config(photos, layout="tfds", annotations=("train", "validation"), labels="layout")
    manifest = pretokenize(data, clips_config(files_per_shard=8), decoding, None, tmp_path / "out", 0)[
        "train"
    ]
    assert (manifest.class_names, manifest.records, manifest.rejected) == (("n01440764", "n01443537"), 2, 0)
    folder = tmp_path / "out" / "train"
    seen = []
    for clip, record in zip(read_clips(folder, manifest), clip_index(folder, manifest), strict=True):
        greys = clip.mean((1, 2, 3))
        np.testing.assert_array_equal(greys % 30, 0)
        assert list(record.labels) == [int(grey / 30) % 2 for grey in greys]
        seen += list(greys)
    assert sorted(seen) == [30 * n for n in range(8)]
    assert "tensorflow" not in sys.modules


def test_a_set_that_vanishes_for_a_while_loses_no_record(
    photos: pathlib.Path, tmp_path: pathlib.Path, clips_config, data_config, decoding
) -> None:
    data, spec = data_config(photos, layout="tfds"), PixelsTokenizer.spec
    job = open_job(data, clips_config(), spec, tmp_path / "out", 0, listed=False)

    def work() -> dict[str, Manifest]:
        worker = job.work(PixelsTokenizer(), decoding, Share(0, 1), Timeline(keep=False))
        return job.close(worker.complete)

    photos.rename(tmp_path / "away")
    with pytest.raises(StorageError, match="1.2.0 was there when the inputs were listed, and is gone"):
        work()
    (tmp_path / "away").rename(photos)
    assert {manifest.rejected for manifest in work().values()} == {0}


@pytest.mark.parametrize("declared", ["Sequence", "Video"])
def test_videos_are_sequences_of_stored_pictures(
    tfds, tmp_path: pathlib.Path, declared: str, clips_config, data_config, decoding
) -> None:
    """Without TensorFlow tfds writes no `Video`, which is a sequence under another name in features.json."""
    features = {
        "clip": tfds.features.Sequence(tfds.features.Image(shape=(20, 30, 3))),
        "action": tfds.features.ClassLabel(num_classes=12),
    }
    examples = [{"clip": [png(10 * n + k) for k in range(10)], "action": 11 - n} for n in range(3)]
    folder = write_set(
        tfds, tmp_path / "sets", features, {"everything": [*examples, examples[0] | {"clip": []}]}
    )
    if declared == "Video":
        description = json.loads((folder / "features.json").read_text())
        description["featuresDict"]["features"]["clip"] = VIDEO
        (folder / "features.json").write_text(json.dumps(description))
    data = data_config(folder, layout="tfds", labels="layout")
    with pytest.raises(DataError, match="000000000 has 10 frames; config.clips.max_frames allows 9"):
        list(cut_clips(list_media(data, 0)[0], 0, clips_config(max_frames=9), seed=0))
    out = tmp_path / "out"
    manifest = pretokenize(data, clips_config(validation_percent=0.0), decoding, None, out, 0)["train"]
    assert (manifest.class_names, manifest.records, manifest.rejected) == (("9", "10", "11"), 3, 1)
    (rejected,) = map(json.loads, (out / "train" / "rejected.jsonl").read_text().splitlines())
    assert rejected["reason"].endswith("has 0 frames, but a clip needs 4")
    clips = read_clips(out / "train", manifest)
    for clip, record in zip(clips, clip_index(out / "train", manifest), strict=True):
        number = 2 - record.label
        np.testing.assert_array_equal(clip.mean((1, 2, 3)), 10 * number + np.array(record.frame_indices))
    assert "tensorflow" not in sys.modules


def test_what_is_no_such_set_is_told(tfds, photos: pathlib.Path, tmp_path: pathlib.Path, data_config) -> None:
    with pytest.raises(DataError, match=r"not a set that TFDS prepared; did you mean .*tiny/1.2.0\?"):
        list_media(data_config(photos.parent, layout="tfds"), 0)
    with pytest.raises(DataError, match="no split 'val', .* it has .*validation"):
        list_media(data_config(photos, layout="tfds", annotations=("val",)), 0)
    texts = write_set(tfds, tmp_path / "b", {"x": tfds.features.Text()}, {"train": [{"x": "words"}]})
    with pytest.raises(DataError, match="one feature with pictures, or one called video or image; .* are x"):
        list_media(data_config(texts, layout="tfds"), 0)
    plain = write_set(tfds, tmp_path / "c", {"image": tfds.features.Image()}, {"train": [{"image": png(1)}]})
    with pytest.raises(DataError, match="no feature 'label' .* config.data.labels asks for them"):
        list_media(data_config(plain, layout="tfds", labels="layout"), 0)


def test_sets_without_random_access_are_refused(photos: pathlib.Path, data_config) -> None:
    description = photos / "dataset_info.json"
    description.write_text(description.read_text().replace('"array_record"', '"tfrecord"'))
    with pytest.raises(DataError, match='stored as tfrecord.*prepare it anew with .*"array_record"'):
        list_media(data_config(photos, layout="tfds"), 0)


def test_the_missing_package_is_named(tmp_path: pathlib.Path, monkeypatch, data_config) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    reader._load.cache_clear()
    with pytest.raises(ConfigError, match=r"pip install 'toto_jax\[tfds\]'"):
        list_media(data_config(tmp_path, layout="tfds"), 0)
