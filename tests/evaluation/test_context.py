import pathlib

import numpy as np
import pytest

from tests.evaluation.toy_context import make_context, write_images
from toto_jax.errors import DataError
from toto_jax.evaluation.context import Split


def test_a_split_is_read_evenly_and_never_beyond_its_end(tmp_path: pathlib.Path) -> None:
    split = make_context(tmp_path).splits["toy"]["validation"]
    clips, numbers = split.read(5)
    assert clips.shape == (5, 4, 2, 2)
    np.testing.assert_array_equal(numbers, [0, 8, 16, 24, 32])
    assert len(split.read(1000)[1]) == 33
    assert [split.index[number].source for number in numbers] == ["0", "8", "16", "24", "32"]


def test_a_kind_that_is_not_there_and_an_unknown_source_are_errors(tmp_path: pathlib.Path) -> None:
    context = make_context(tmp_path)
    with pytest.raises(DataError, match="holds no image clips"):
        context.splits["toy"]["train"].read(3, "image")
    with pytest.raises(DataError, match="no source 'toys'; known: toy"):
        context.only_source("toys")
    assert context.only_source() is context.splits["toy"]


def test_images_of_rows_are_read_one_by_one_with_their_own_labels(tmp_path: pathlib.Path) -> None:
    """Six images in two rows of four, the second filled up with the first two again; the third has no label."""
    write_images(tmp_path / "photos", [[0, 1, 2, 3], [4, 5, 0, 1]], {0: 0, 1: 1, 3: 1, 4: 0, 5: 1})
    split = Split(tmp_path / "photos")
    assert [record.label for record in split.index] == [None, None], "a row has no class"
    numbers_M, frames_M, labels_M = split.labelled(10, "image")
    np.testing.assert_array_equal(labels_M, [0, 1, 1, 0, 1])
    ids_MT = split.batch(numbers_M, frames_M)["ids"]
    # Image start, the image's four codes shifted past the special tokens, and the end.
    np.testing.assert_array_equal(ids_MT, [[3, *[4 + image] * 4, 2] for image in (0, 1, 3, 4, 5)])
    numbers_M, frames_M, labels_M = split.labelled(3, "image")
    assert (numbers_M.tolist(), frames_M.tolist(), labels_M.tolist()) == ([0, 0, 1], [0, 3, 1], [0, 1, 1])
    with pytest.raises(DataError, match="holds no video with a label"):
        split.labelled(10, "video")


def test_labelled_videos_are_read_whole(tmp_path: pathlib.Path) -> None:
    split = make_context(tmp_path).splits["toy"]["validation"]
    numbers_M, frames_M, labels_M = split.labelled(5, "video")
    assert frames_M is None
    np.testing.assert_array_equal(numbers_M, split.read(5)[1])
    assert labels_M.tolist() == [0, 0, 0, 0, 0], "records 0, 8, 16, 24, 32 of alternating classes"
