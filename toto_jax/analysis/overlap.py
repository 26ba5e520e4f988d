"""Whether decoding and encoding overlap: a picture of a pre-tokenisation's trace.

  python -m toto_jax.pretokenize --config=configs/quickstart.py --workdir=runs/mine --trace=runs/mine/trace.json
  python -m toto_jax.analysis.overlap runs/mine/trace.json --out=runs/mine/overlap.svg

A row is a decoder process or the encoder, a bar is a time in which it was busy; the share of it stands beside the name.
"""

import pathlib

from absl import flags

from toto_jax.analysis.busy_lanes import draw_lanes, read_lanes, share
from toto_jax.command_line import run_command
from toto_jax.errors import ConfigError

_OUT = flags.DEFINE_string("out", None, "Picture to write, .svg or .png.", required=True)
_START = flags.DEFINE_float("start", 0.0, "Second to begin with.", lower_bound=0)
_SECONDS = flags.DEFINE_float("seconds", 0.0, "How many to show; 0 for all.", lower_bound=0)


def overlap(words: list[str]) -> None:
    """Draws the trace that the command line names."""
    out = pathlib.Path(_OUT.value)
    if len(words) != 1 or out.suffix not in (".svg", ".png"):
        raise ConfigError(f"Name one trace, and an --out that ends in .svg or .png; got {words} and {out}")
    lanes = read_lanes(pathlib.Path(words[0]))
    last = max((at + length for spans in lanes.values() for at, length in spans), default=0.0)
    end = min(_START.value + _SECONDS.value, last) if _SECONDS.value else last
    if end <= _START.value:
        raise ConfigError(f"--start={_START.value} is behind the trace's end at {last:.1f} s")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(draw_lanes(lanes, _START.value, end, out.suffix[1:]))
    for name, spans in lanes.items():
        print(f"{name}: busy {share(spans, _START.value, end):.0%} of {end - _START.value:.1f} s")
    print(f"Picture in {out}")


if __name__ == "__main__":
    run_command(overlap)
