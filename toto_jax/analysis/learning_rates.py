"""Which learning rate is best at which width, and whether one serves all (the paper's Figure 11).

  python -m toto_jax.analysis.learning_rates runs/mup_lr --out=runs/learning_rates

Runs are grouped by config.model.d_model. Writes learning_rates.html, its figure as SVG and PNG, and all numbers in
learning_rates.json.
"""

import json
import pathlib

import numpy as np
from absl import flags

from toto_jax.analysis.rate_study import RATE_HEADER, rate_drawing, rate_rows, rate_study, verdict
from toto_jax.command_line import run_command
from toto_jax.evaluation.results import Table
from toto_jax.evaluation.scaling_page import write_page
from toto_jax.gathered_runs import gather
from toto_jax.text_table import text_table

_OUT = flags.DEFINE_string("out", None, "Folder to write.", required=True)
_PERCENT = flags.DEFINE_float(
    "percent", 1.0, "Of its best loss that a width may give away for one rate to serve it.", lower_bound=0.0
)


def learning_rates(words: list[str]) -> None:
    """Compares the runs that the command line names."""
    found, left_out = rate_study(*gather(words))
    said, out = verdict(found, _PERCENT.value), pathlib.Path(_OUT.value)
    table = Table(
        RATE_HEADER, tuple(rate_rows(found)), "Best rates; between rates, by a parabola through three."
    )
    write_page(out, "learning_rates", "Learning rates", said, [table], [rate_drawing(found)], left_out)
    numbers = {
        "widths": found.widths,
        "log2_rates": found.log2_rate_K.tolist(),
        # JSON has no NaN.
        "losses": [[loss if np.isfinite(loss) else None for loss in row] for row in found.loss_WK.tolist()],
        "diverged": found.diverged_WK.tolist(),
        "best_log2_rates": found.log2_rate_K[found.best_W].tolist(),
        "between_rates": found.lowest_W.tolist(),
        "common_log2_rate": None if found.common is None else float(found.log2_rate_K[found.common]),
        "given_away": None if found.common is None else found.given_away_W.tolist(),
        "verdict": said,
        "left_out": left_out,
    }
    (out / "learning_rates.json").write_text(json.dumps(numbers, indent=1) + "\n")
    print(text_table(table.header, table.rows) + "\n")
    print("\n".join(said))
    for name, why in left_out.items():
        print(f"Left out: {name}: {why}")
    print(f"\nPage, figure and numbers in {out}")


if __name__ == "__main__":
    run_command(learning_rates)
