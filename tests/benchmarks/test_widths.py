"""muP does what it is for, at sizes of seconds: nothing grows with the width, and one rate serves all widths."""

import jax
import numpy as np
import pytest

from benchmarks.coordinates import MUP_MOST, STANDARD_LEAST, slopes
from benchmarks.transfer import sweep
from benchmarks.widths import LENGTH, VOCABULARY, Family, random_language
from toto_jax.tree import count

WIDTHS, BASE = (64, 256), 16


def test_a_family_grows_by_larger_heads_or_by_more() -> None:
    larger, more = (Family(True, 64, heads).config(256) for heads in (False, True))
    assert (larger.heads, larger.head_dim, more.heads, more.head_dim) == (4, 64, 16, 16)
    sizes = [count(Family(mup, 64).at(128).init(jax.random.key(0))) for mup in (True, False)]
    assert sizes[0] == sizes[1]


def test_the_language_depends_on_two_ids() -> None:
    ids = np.asarray(random_language(jax.random.key(0), 3))
    assert ids.shape[2] == LENGTH + 1
    assert 0 <= ids.min() < ids.max() < VOCABULARY
    again = np.asarray(random_language(jax.random.key(0), 3))
    np.testing.assert_array_equal(ids, again)


@pytest.mark.parametrize(
    "heads", [False, pytest.param(True, marks=pytest.mark.reference)], ids=["larger heads", "more heads"]
)
def test_coordinates(heads: bool) -> None:
    """The thresholds are of another implementation's run; the standard parametrisation fails the same test."""
    mup = slopes(Family(True, BASE, heads, zeros=False), WIDTHS, 1)
    standard = slopes(Family(False, BASE, heads), WIDTHS, 1)
    assert max(mup.values()) < MUP_MOST
    assert max(abs(mup[f"block {layer}"]) for layer in (0, 1)) < MUP_MOST
    assert min(standard[f"block {layer}"] for layer in (0, 1)) > STANDARD_LEAST
    assert min(standard[f"scores {layer}"] for layer in (0, 1)) > 2 * MUP_MOST
    assert standard["embedding"] == pytest.approx(mup["embedding"], abs=0.05), (
        "embeddings scale the same in both"
    )


@pytest.mark.reference
def test_the_best_rate_stays_under_mup_and_moves_without() -> None:
    """An eightfold width: within a factor of 2 of the base's rate, and at least 4 times smaller."""
    rates = [-12, -10, -8, -6, -4]
    found = {mup: sweep(Family(mup, 32), (32, 256), rates, 30, 1) for mup in (True, False)}
    moved = {mup: rates[one.best(256)] - rates[one.best(32)] for mup, one in found.items()}
    assert abs(moved[True]) <= 1
    assert moved[False] <= -2
