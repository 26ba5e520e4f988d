"""The scaling law of some runs: loss over compute, fitted by two methods (the paper's Figure 9).

  python -m toto_jax.analysis.scaling_law runs/scaling --out=runs/scaling_law
  python -m toto_jax.analysis.scaling_law runs/small runs/large --out=law --convention=paper

Writes scaling_law.html, its figures as SVG and PNG, and all numbers in scaling_law.json. docs/scaling.md says how the
frontier, the fits and their intervals are defined, and what the conventions count.
"""

import json
import pathlib

from absl import flags

from toto_jax.analysis.compute import CONVENTIONS
from toto_jax.analysis.frontier import Points
from toto_jax.analysis.law_report import LAW_HEADER, RUN_HEADER, as_json, law_rows, run_rows, sentences
from toto_jax.analysis.law_study import study
from toto_jax.analysis.run_curves import for_a_law
from toto_jax.analysis.scaling_figures import drawings
from toto_jax.command_line import run_command
from toto_jax.evaluation.results import Table
from toto_jax.evaluation.scaling_page import write_page
from toto_jax.gathered_runs import gather
from toto_jax.text_table import text_table

_OUT = flags.DEFINE_string("out", None, "Folder to write.", required=True)
_CONVENTION = flags.DEFINE_enum("convention", "macs", list(CONVENTIONS), "What compute counts.")
_BUDGETS = flags.DEFINE_integer("budgets", 8, "Budgets of the IsoFLOP method.", lower_bound=3)
_DRAWS = flags.DEFINE_integer("draws", 400, "Draws for the intervals.", lower_bound=20)


def scaling_law(words: list[str]) -> None:
    """Fits the law of the runs that the command line names."""
    gathered, left_out = gather(words)
    runs, others = for_a_law(gathered, left_out)
    convention = CONVENTIONS[_CONVENTION.value]
    curves = [
        Points(points.compute_P / convention.unit, points.loss_P)
        for points in (run.points(convention) for run in runs)
    ]
    found = study(curves, [run.parameters for run in runs], _BUDGETS.value, _DRAWS.value)
    said, out = sentences(found, runs, convention), pathlib.Path(_OUT.value)
    tables = [
        Table(LAW_HEADER, tuple(law_rows(found)), "Laws, with 90% intervals; errors are root mean squares."),
        Table(RUN_HEADER, tuple(run_rows(runs)), "Runs, in order of size."),
    ]
    write_page(out, "scaling_law", "Scaling law", said, tables, drawings(found, runs, convention), others)
    numbers = as_json(found, runs, others, _CONVENTION.value)
    (out / "scaling_law.json").write_text(json.dumps(numbers, indent=1) + "\n")
    for one in reversed(tables):
        print(text_table(one.header, one.rows) + "\n")
    print("\n".join(said))
    for name, why in others.items():
        print(f"Left out: {name}: {why}")
    print(f"\nPage, figures and numbers in {out}")


if __name__ == "__main__":
    run_command(scaling_law)
