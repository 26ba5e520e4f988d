import dataclasses
import pathlib

import jax
import numpy as np
import pytest

from tests.evaluation.patch_context import make_patch_context
from tests.evaluation.toy_context import make_context, write_images
from toto_jax.errors import ConfigError
from toto_jax.evaluation import probes as probes_module
from toto_jax.evaluation.context import Split
from toto_jax.evaluation.probes import Probes, ProbesConfig
from toto_jax.evaluation.results import Curve, Table

CONFIG = ProbesConfig(
    source="",
    train_clips=64,
    validation_clips=33,
    batch_size=16,
    steps=60,
    learning_rate=5e-3,
    weight_decay=0.0,
    heads=2,
)


def test_probes_read_a_class_off_the_layers(tmp_path: pathlib.Path) -> None:
    context = make_context(tmp_path)
    results = dict(Probes(CONFIG, context).run(context.task.init(jax.random.key(0))))
    assert results["chance"] == 50
    # Whether frames differ can't be read off single codes, but attention of the first block sees both frames.
    assert results["attention_accuracy"] > 60
    curve, table = results["accuracy_by_layer"], results["best_layers"]
    assert isinstance(curve, Curve)
    assert isinstance(table, Table)
    assert len(curve.x) == 3
    assert set(curve.series) == {
        "attention, pre-trained", "average, pre-trained",
        "attention, random weights", "average, random weights", "chance",
    }  # fmt: skip


def test_images_are_probed_one_by_one(tmp_path: pathlib.Path) -> None:
    """An image is odd or even, which its codes tell; a row has both, so no clip of the row's length could be named."""
    context = make_context(tmp_path / "videos")
    labels = {image: image % 2 for image in range(100)}
    for split, first, count in (("train", 0, 16), ("validation", 64, 9)):
        rows = [[first + 4 * row + image for image in range(4)] for row in range(count)]
        write_images(tmp_path / "photos" / split, rows, labels)
    splits = {name: Split(tmp_path / "photos" / name) for name in ("train", "validation")}
    context = dataclasses.replace(context, splits={"photos": splits})
    probes = Probes(CONFIG, context)
    results = dict(probes.run(context.task.init(jax.random.key(0))))
    assert results["attention_accuracy"] > 85
    assert results["accuracy_by_layer"].y_label == "accuracy on held-out images, %"


def test_features_computed_anew_equal_cached_ones(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = make_context(tmp_path)
    params = context.task.init(jax.random.key(0))
    short = dataclasses.replace(CONFIG, steps=5)
    cached = dict(Probes(short, context).run(params))["accuracy_by_layer"]
    monkeypatch.setattr(probes_module, "_CACHE_BYTES", 0)
    anew = dict(Probes(short, context).run(params))["accuracy_by_layer"]
    for name, accuracy in cached.series.items():
        np.testing.assert_allclose(
            accuracy, anew.series[name], atol=3.1
        )  # one clip of 33 may sit on the fence


def test_without_labels_there_is_nothing_to_probe(tmp_path: pathlib.Path) -> None:
    context = make_context(tmp_path, labelled=False)
    assert not list(Probes(CONFIG, context).run(context.task.init(jax.random.key(0))))


def test_a_batch_larger_than_the_clips_is_an_error(tmp_path: pathlib.Path) -> None:
    context = make_context(tmp_path)
    config = dataclasses.replace(CONFIG, batch_size=100)
    with pytest.raises(ConfigError, match="batch_size=100 is more than its 64 training clips"):
        dict(Probes(config, context).run(context.task.init(jax.random.key(0))))


def test_probes_read_a_class_off_patches(tmp_path: pathlib.Path) -> None:
    """Where a model sees pixels and learns codes, its features come from the pixels."""
    context = make_patch_context(tmp_path, codes=True)
    config = dataclasses.replace(CONFIG, validation_clips=16, steps=150)
    results = dict(Probes(config, context).run(context.task.init(jax.random.key(0))))
    assert results["chance"] == 12.5
    assert results["attention_accuracy"] > 20
