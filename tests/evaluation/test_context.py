import pathlib

import numpy as np
import pytest

from tests.evaluation.toy_context import make_context
from toto_jax.errors import DataError


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
