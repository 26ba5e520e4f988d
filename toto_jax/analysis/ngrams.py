"""How often each code, and each pair and triple of neighbours, occurs in shards: the paper's Figures 3, 12 and 13.

  python -m toto_jax.analysis.ngrams runs/mine/shards/media/validation --out=runs/mine/ngrams
  python -m toto_jax.analysis.ngrams dvae/validation vqgan/validation --out=compared

Writes a table (ngrams.json) and a plot for each length (ngrams_1.png, ...): counts, sorted, on logarithmic axes.
Neighbours are consecutive codes of one frame in raster order.
"""

import json
import pathlib

from absl import flags

from toto_jax.analysis.ngram_counts import as_text, count_ngrams, plot, read_frames
from toto_jax.command_line import run_command
from toto_jax.errors import ConfigError

LENGTHS = (1, 2, 3)
_OUT = flags.DEFINE_string("out", None, "Folder to write.", required=True)
_CLIPS = flags.DEFINE_integer("clips", 10_000, "Clips read of each folder, spread evenly.", lower_bound=1)


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


if __name__ == "__main__":
    run_command(ngrams)
