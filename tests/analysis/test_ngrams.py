"""n-grams counted by hand, and the command over real shards."""

import collections
import json
import pathlib

import numpy as np
import pytest

from tests.processes import end, run, start
from toto_jax.analysis.ngram_counts import count_ngrams, plot, read_frames
from toto_jax.errors import ConfigError, DataError


def test_pairs_of_two_rows_by_hand() -> None:
    """0 1 0 1 has 01, 10, 01 and 0 1 2 0 has 01, 12, 20: 01 three times; none crosses from row to row."""
    found = count_ngrams(np.array([[0, 1, 0, 1], [0, 1, 2, 0]]), 2, 3)
    assert found.counts_U.tolist() == [3, 1, 1, 1]
    summary = found.summary()
    assert (summary["total"], summary["distinct"], summary["most_frequent"]) == (6, 4, 3)
    assert summary["coverage"] == pytest.approx(4 / 6), "nine are possible, but six places are all there is"
    assert summary["seen_once"] == pytest.approx(3 / 4)
    assert summary["perplexity"] == pytest.approx(np.exp(0.5 * np.log(2) + 0.5 * np.log(6)))


@pytest.mark.parametrize("length", [1, 2, 3])
def test_counts_are_those_of_a_dictionary(length: int) -> None:
    codes = np.random.default_rng(0).zipf(1.5, (40, 25)) % 11
    counted = collections.Counter(tuple(row[i : i + length]) for row in codes for i in range(26 - length))
    assert count_ngrams(codes, length, 11).counts_U.tolist() == sorted(counted.values(), reverse=True)


def test_large_codebooks_do_not_run_together() -> None:
    """65,535 and 1 side by side is another triple than 65,534 and 65,537 would make in a smaller base."""
    codes = np.array([[65_535, 1, 7], [65_535, 1, 8], [1, 65_535, 7]], np.uint16)
    assert count_ngrams(codes, 3, 65_536).counts_U.tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="can't be numbered"):
        count_ngrams(codes, 3, 2**22)
    with pytest.raises(ValueError, match="have no 4-grams"):
        count_ngrams(codes, 4, 65_536)


def test_a_plot_is_a_picture_even_of_one_ngram() -> None:
    one = count_ngrams(np.zeros((1, 2), int), 1, 4)
    assert plot({"one": one, "more": count_ngrams(np.arange(8)[None], 1, 8)}, 1).startswith(b"\x89PNG")


def test_the_command_reads_a_runs_shards(finished: pathlib.Path, tmp_path: pathlib.Path) -> None:
    folder = finished / "shards" / "media" / "validation"
    output = run("analysis.ngrams", str(folder), f"--out={tmp_path}")
    table = json.loads((tmp_path / "ngrams.json").read_text())[str(folder)]
    codes, size = read_frames(folder, 10_000)
    assert table["1"]["total"] == codes.size
    assert table["1"]["distinct"] == len(np.unique(codes))
    assert table["1"]["coverage"] == pytest.approx(len(np.unique(codes)) / size)
    assert table["3"]["total"] == len(codes) * (codes.shape[1] - 2)
    assert "seen once" in output
    assert all((tmp_path / f"ngrams_{length}.png").stat().st_size > 5_000 for length in (1, 2, 3))


def test_pixels_and_nothing_are_refused(finished: pathlib.Path, tmp_path: pathlib.Path) -> None:
    pixels = finished / "tokenizer_run" / "shards" / "media" / "validation"
    output = end(start("analysis.ngrams", str(pixels), f"--out={tmp_path}"), DataError.exit_code)
    assert "of pixels; n-grams are of codes" in output
    assert "Name folders of token shards" in end(
        start("analysis.ngrams", f"--out={tmp_path}"), ConfigError.exit_code
    )
