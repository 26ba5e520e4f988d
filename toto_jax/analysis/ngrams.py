"""How often each code, and each pair and triple of neighbours, occurs in shards: the paper's Figures 3, 12 and 13.

  python -m toto_jax.analysis.ngrams runs/mine/shards/media/validation --out=runs/mine/ngrams
  python -m toto_jax.analysis.ngrams dvae/validation vqgan/validation --out=compared

Writes a table (ngrams.json) and a plot for each length (ngrams_1.png, ...): counts, sorted, on logarithmic axes.
Neighbours are consecutive codes of one frame in raster order.
"""

import json
import pathlib
from collections.abc import Mapping

import numpy as np
from absl import flags

from toto_jax.analysis.ngram_counts import count_ngrams, plot
from toto_jax.command_line import run_command
from toto_jax.data.manifest import read_manifest
from toto_jax.data.shard_reader import read_clips
from toto_jax.errors import ConfigError, DataError

LENGTHS = (1, 2, 3)
_OUT = flags.DEFINE_string("out", None, "Folder to write.", required=True)
_CLIPS = flags.DEFINE_integer("clips", 10_000, "Clips read of each folder, spread evenly.", lower_bound=1)


def read_frames(folder: pathlib.Path, clips: int) -> tuple[np.ndarray, int]:
    """Returns (codes_MN, codebook size) of at most `clips` clips of a folder, spread evenly.

    Raises:
      DataError: if its shards hold pixels, or nothing.
    """
    manifest = read_manifest(folder)
    if manifest.dtype != "uint16" or not manifest.records:
        raise DataError(
            f"{folder} holds {manifest.records} clips of {manifest.tokenizer.kind}; n-grams are of codes"
        )
    numbers = np.unique(np.linspace(0, manifest.records - 1, min(clips, manifest.records)).astype(np.int64))
    codes = read_clips(folder, manifest, numbers)
    return codes.reshape(-1, int(np.prod(codes.shape[2:]))), manifest.tokenizer.codebook_size


def ngrams(words: list[str]) -> None:
    """Counts the n-grams of the folders that the command line names."""
    if not words:
        raise ConfigError("Name folders of token shards, e.g. runs/mine/shards/media/validation")
    out = pathlib.Path(_OUT.value)
    frames = {word.rstrip("/"): read_frames(pathlib.Path(word), _CLIPS.value) for word in words}
    out.mkdir(parents=True, exist_ok=True)
    table: dict[str, dict[str, dict[str, float]]] = {name: {} for name in frames}
    for length in LENGTHS:
        counts = {name: count_ngrams(codes, length, size) for name, (codes, size) in frames.items()}
        (out / f"ngrams_{length}.png").write_bytes(plot(counts, length))
        for name, one in counts.items():
            table[name][str(length)] = one.summary()
    (out / "ngrams.json").write_text(json.dumps(table, indent=2) + "\n")
    print(as_text(table))
    print(f"\nPlots and ngrams.json in {out}")


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


if __name__ == "__main__":
    run_command(ngrams)
