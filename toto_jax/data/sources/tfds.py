"""Data sets that TensorFlow Datasets prepared, read at random through its `data_source`, without TensorFlow.

A set's folder (`<data_dir>/imagenet2012/5.1.0`) holds `dataset_info.json`, `features.json` and the files of its splits,
which must be in a format with random access: `download_and_prepare(file_format="array_record")`. Pictures come as they
are stored and go through our own decoders; a video is a sequence of stored pictures.
"""

import functools
import os
import pathlib
import threading
import types
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from toto_jax.data.media import MediaItem, official_split
from toto_jax.data.sources.annotations import media_folder
from toto_jax.errors import DataError, require

_LOADING = threading.Lock()


class _AsStored:
    """A decoder that leaves pictures encoded, alone or in a sequence, which tfds's own `SkipDecoding` can't."""

    def setup(self, *, feature: Any) -> None:
        """Told which feature it decodes."""

    def decode_example_np(self, stored: Any) -> Any:
        """Returns one picture."""
        return stored

    def decode_batch_example_np(self, stored: Any) -> Any:
        """Returns the pictures of a sequence."""
        return stored


def list_items(media: str, annotations: tuple[str, ...], labelled: bool) -> Iterator[MediaItem]:
    """Yields the records of a set's splits; the class is its feature `label`, or its only ClassLabel.

    Split names with the word train, val or test in them are official. Classes cost one pass over all records, since
    each is read whole; without them only the set's description is.

    Args:
      media: the folder with `dataset_info.json`.
      annotations: names of the splits to take; none for all.
      labelled: whether classes are wanted.

    Raises:
      ConfigError: if tensorflow-datasets is not installed.
      DataError: if the folder holds no such set, has no such split, feature or class, or has no random access.
    """
    root = media_folder(media)
    builder = _load(str(root))
    splits = list(builder.info.splits)
    for name in annotations:
        if name not in splits:
            raise DataError(
                f"{root} has no split {name!r}, which config.data.annotations names; it has {', '.join(splits)}"
            )
    kind, _ = _picture_feature(builder)
    prefix = f"{builder.info.name}/{builder.info.version}"
    for name in annotations or splits:
        path = os.path.join(root, name)
        source = _source(path)
        labels = _labels(builder, source) if labelled else iter(lambda: None, 0)
        for record, label in zip(range(len(source)), labels, strict=False):
            # Numbers of equal length come in their own order when names are sorted.
            item_name = f"{prefix}/{name}/{record:09d}"
            yield MediaItem(item_name, kind, label, path, None, official_split(name), record=record)


def read_pictures(item: MediaItem) -> Sequence[bytes]:
    """Returns the encoded pictures of a record: one of an image, the frames of a video.

    Raises:
      DataError: if it can't be read.
    """
    root, _ = os.path.split(item.path)
    kind, feature = _picture_feature(_load(root))
    try:
        stored = _source(item.path)[item.record][feature]
    except Exception as error:  # readers raise nearly anything on damaged files
        raise DataError(f"{item.name} can't be read: {error}") from error
    return [bytes(picture) for picture in stored] if kind == "video" else [bytes(stored)]


@functools.lru_cache
def _load(root: str) -> Any:
    """Returns the read-only builder of a set."""
    tfds = require("tensorflow_datasets", "tfds")
    video_feature = require("tensorflow_datasets.core.features.video_feature", "tfds")
    if not (pathlib.Path(root) / "dataset_info.json").is_file():
        inside = sorted(str(path.parent) for path in pathlib.Path(root).rglob("dataset_info.json"))
        hint = f"; did you mean {inside[-1]}?" if inside else ""
        raise DataError(f"{root} holds no dataset_info.json, so it is not a set that TFDS prepared{hint}")
    # The feature for videos asks TensorFlow for the name of a type when it is built, and for nothing else here.
    types_alone = types.SimpleNamespace(dtypes=types.SimpleNamespace(as_dtype=np.dtype))
    with _LOADING:
        tensorflow, video_feature.tf = video_feature.tf, types_alone
        try:
            return tfds.builder_from_directory(root)
        except Exception as error:  # whatever a description of another age makes it raise
            raise DataError(f"{root} can't be opened as a TFDS set: {error}") from error
        finally:
            video_feature.tf = tensorflow


@functools.lru_cache
def _source(path: str) -> Any:
    """Returns the random-access records of `<folder>/<split>`, with pictures as they are stored."""
    root, split = os.path.split(path)
    builder = _load(root)
    decoders = {name: _AsStored() for name in builder.info.features if _kind(builder.info.features[name])}
    try:
        return builder.as_data_source(split, decoders=decoders)
    except NotImplementedError:
        raise DataError(
            f"{root} is stored as {builder.info.file_format.value}, without random access: prepare it anew with "
            'download_and_prepare(file_format="array_record")'
        ) from None


def _kind(feature: Any) -> str | None:
    """Returns "image" or "video" of a feature, or None."""
    features = require("tensorflow_datasets", "tfds").features
    if isinstance(feature, features.Image):
        return "image"
    if isinstance(feature, features.Sequence) and isinstance(feature.feature, features.Image):
        return "video"  # `features.Video` is such a sequence
    return None


def _picture_feature(builder: Any) -> tuple[str, str]:
    """Returns kind and name of the feature to read: "video", "image", or the only one of such a type."""
    kinds = {name: _kind(feature) for name, feature in builder.info.features.items() if _kind(feature)}
    name = next((name for name in ("video", "image") if name in kinds), None)
    if name is None and len(kinds) == 1:
        (name,) = kinds
    if name is None:
        raise DataError(
            f"The set {builder.info.name} should have one feature with pictures, or one called video or image; its "
            f"features are {', '.join(builder.info.features)}"
        )
    return kinds[name], name


def _labels(builder: Any, source: Sequence[dict[str, Any]]) -> Iterator[str | None]:
    """Yields the class of each record; None for the -1 of test splits."""
    class_label = require("tensorflow_datasets", "tfds").features.ClassLabel
    names = [name for name, feature in builder.info.features.items() if isinstance(feature, class_label)]
    name = "label" if "label" in names else names[0] if len(names) == 1 else None
    if name is None:
        raise DataError(
            f"The set {builder.info.name} has no feature 'label' and not one other of classes, but config.data.labels "
            f"asks for them; its features are {', '.join(builder.info.features)}"
        )
    feature = builder.info.features[name]
    for record in range(len(source)):
        number = int(source[record][name])
        yield feature.int2str(number) if number >= 0 else None
