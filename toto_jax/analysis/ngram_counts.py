"""How often each code, and each run of consecutive codes, occurs (the paper's Figures 3, 12 and 13).

Shapes: M frames, N codes of a frame, n length of an n-gram, U distinct n-grams, K codes.
"""

import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np

from toto_jax.analysis.plots import line_plot
from toto_jax.data.manifest import readable_manifest
from toto_jax.data.shard_reader import read_clips
from toto_jax.errors import DataError

_POINTS = 400


@dataclasses.dataclass(frozen=True)
class NgramCounts:
    """Attributes:
    length: n.
    counts_U: how often each n-gram that occurs at all does, the most frequent first.
    codebook_size: K.
    """

    length: int
    counts_U: np.ndarray
    codebook_size: int

    def summary(self) -> dict[str, float]:
        """Returns what a table says of them.

        `distinct` n-grams of `total`; `coverage`: of the K^n possible ones, or of `total` where those are fewer;
        `seen_once`: share of the distinct ones; `perplexity`: the exponential of their entropy.
        """
        total = int(self.counts_U.sum())
        p_U = self.counts_U / total
        return {
            "total": total,
            "distinct": len(self.counts_U),
            "coverage": len(self.counts_U) / min(self.codebook_size**self.length, total),
            "seen_once": float((self.counts_U == 1).mean()),
            "most_frequent": int(self.counts_U[0]),
            "perplexity": float(np.exp(-(p_U * np.log(p_U)).sum())),
        }


def count_ngrams(codes_MN: np.ndarray, length: int, codebook_size: int) -> NgramCounts:
    """Counts the n-grams within each row.

    Raises:
      ValueError: if rows are shorter than an n-gram, or there are too many possible ones to number them.
    """
    frames, codes = codes_MN.shape
    if codes < length:
        raise ValueError(f"Frames of {codes} codes have no {length}-grams")
    if codebook_size**length >= 2**63:
        raise ValueError(f"{codebook_size}^{length} n-grams can't be numbered in 64 bits")
    number = np.zeros((frames, codes - length + 1), np.int64)
    for place in range(length):
        number = number * codebook_size + codes_MN[:, place : codes - length + 1 + place]
    counts = np.unique(number, return_counts=True)[1]
    return NgramCounts(length, np.sort(counts)[::-1], codebook_size)


def plot(counts: Mapping[str, NgramCounts], length: int) -> bytes:
    """Returns a PNG of sorted counts over their rank, a line for each folder."""
    most = max(len(one.counts_U) for one in counts.values())
    ranks = np.unique(np.geomspace(1, max(most, 2), _POINTS).astype(np.int64))
    series = {
        name: np.where(
            ranks <= len(one.counts_U), one.counts_U[np.minimum(ranks, len(one.counts_U)) - 1], np.nan
        )
        for name, one in counts.items()
    }
    return line_plot(
        ranks, series, f"rank of the {length}-gram", "times seen", log_x=True, log_y=True, file_format="png"
    )


def read_frames(folder: pathlib.Path, clips: int) -> tuple[np.ndarray, int]:
    """Returns (codes_MN, codebook size) of at most `clips` clips of a folder, spread evenly.

    Raises:
      DataError: if its shards hold pixels, or nothing.
    """
    manifest = readable_manifest(folder)
    if manifest.dtype != "uint16" or not manifest.records:
        raise DataError(
            f"{folder} holds {manifest.records} clips of {manifest.tokenizer.kind}; n-grams are of codes"
        )
    numbers = np.unique(np.linspace(0, manifest.records - 1, min(clips, manifest.records)).astype(np.int64))
    codes = read_clips(folder, manifest, numbers)
    return codes.reshape(-1, int(np.prod(codes.shape[2:]))), manifest.tokenizer.codebook_size


def as_text(table: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Returns the table as a person reads it."""
    lines = []
    for name, lengths in table.items():
        lines.append(name)
        lines.append(
            f"  {'n':>2}{'total':>13}{'distinct':>12}{'coverage':>10}{'seen once':>11}{'perplexity':>13}"
        )
        for length, row in lengths.items():
            lines.append(
                f"  {length:>2}{row['total']:>13,}{row['distinct']:>12,}{row['coverage']:>10.1%}"
                f"{row['seen_once']:>11.1%}{row['perplexity']:>13,.1f}"
            )
    return "\n".join(lines)
