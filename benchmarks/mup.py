"""muP beside the standard parametrisation: coordinate check, and which learning rate is best at which width.

  python -m benchmarks.mup

A LLaMA of two layers learns a random language. Heads stay 4 and grow, as in the paper's sweep (Figure 11), or become
more; "heads that grow" is the harder case, as scores become sums over more values.
"""

import datetime
import pathlib
import shlex
import sys

import numpy as np
from absl import flags

from benchmarks.coordinates import slopes
from benchmarks.machine import describe
from benchmarks.table import Row, page
from benchmarks.transfer import Sweep, sweep
from benchmarks.widths import Family
from toto_jax.analysis.plots import line_plot
from toto_jax.command_line import run_command

_OUT = flags.DEFINE_string("out", "runs/benchmarks", "Folder for mup.md and its plots.")
_SMOKE = flags.DEFINE_bool("smoke", False, "Sizes of seconds: shows that it runs, measures nothing.")
_SEEDS = flags.DEFINE_integer("seeds", 3, "Seeds 0, 1, ... of the coordinate check.", lower_bound=1)
_WIDTHS = flags.DEFINE_list("widths", ["64", "128", "256", "512"], "Of the sweep; the first is the base.")
_STEPS = flags.DEFINE_integer("steps", 120, "Of each run of the sweep.", lower_bound=2)
_NAMES = {True: "muP", False: "standard"}


def measure() -> None:
    """Runs both checks, writes the page and the plots, and prints the page."""
    out = pathlib.Path(_OUT.value)
    out.mkdir(parents=True, exist_ok=True)
    widths = [32, 64] if _SMOKE.value else [int(width) for width in _WIDTHS.value]
    rates = [-8, -6] if _SMOKE.value else list(range(-11, -2))
    steps = 5 if _SMOKE.value else _STEPS.value
    seeds = 1 if _SMOKE.value else _SEEDS.value
    wide = widths if _SMOKE.value else [4 * widths[0], 8 * widths[0], 16 * widths[0]]
    coordinates = [
        _coordinate_row(Family(mup, widths[0], heads, zeros=False), wide, seeds)
        for mup in (True, False)
        for heads in (False, True)
    ]
    sweeps = {name: sweep(Family(mup, widths[0]), widths, rates, steps, 1) for mup, name in _NAMES.items()}
    for name, found in sweeps.items():
        (out / f"mup_transfer_{name}.svg").write_bytes(_plot(name, found))
    rows = [_sweep_row(name, found, width) for name, found in sweeps.items() for width in widths]
    command = shlex.join(["python", *(part for part in sys.orig_argv[1:] if not part.startswith("--out"))])
    date, machine = datetime.date.today().isoformat(), describe()
    notes = [
        f"Slopes of log2 mean |x| over log2 width after 4 steps at a rate of 0.02, widths {', '.join(map(str, wide))}."
    ]
    text = page(command, date, machine, coordinates, notes)
    text += "\n" + page(
        command, date, machine, rows, [f"Held-out loss in nats after {steps} steps; one seed."]
    )
    (out / "mup.md").write_text(text)
    print(text)


def _coordinate_row(family: Family, widths: list[int], seeds: int) -> Row:
    found = slopes(family, widths, seeds)
    row = {"parametrisation": _NAMES[family.mup], "heads": "more" if family.heads else "larger"}
    return {**row, **{name: f"{slope:+.2f}" for name, slope in sorted(found.items())}}


def _sweep_row(name: str, found: Sweep, width: int) -> Row:
    best = found.best(width)
    row = {"parametrisation": name, "width": width, "best log2 rate": str(found.rates[best])}
    return {**row, "loss there": found.losses[width][best]}


def _plot(name: str, found: Sweep) -> bytes:
    series = {f"width {width}": np.array(losses) for width, losses in found.losses.items()}
    rings = {f"width {width}": found.best(width) for width in found.losses}
    label = "log2 of the learning rate, ringed where it is best"
    return line_plot(
        np.array(found.rates), series, label, f"held-out loss, nats ({name})", rings=rings, width=520
    )


if __name__ == "__main__":
    run_command(measure)
