"""The figures of a scaling law: loss over compute (the paper's Figure 9), IsoFLOP, and training curves (Figure 2)."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from toto_jax.analysis.compute import Convention, gpt3_law, paper_law
from toto_jax.analysis.isoflop import IsoFlop
from toto_jax.analysis.law_study import Estimate, LawStudy
from toto_jax.analysis.plots import INK, rendered
from toto_jax.analysis.power_law import PowerLaw
from toto_jax.analysis.run_curves import RunCurve, thinned
from toto_jax.errors import require

# Told from all colours of the ramp that sizes have.
_LAW_COLOURS = ("#d55e00", "#cc79a7")
_QUIET = "#808080"
_POINTS = 200
# Of a report's column.
WIDTH = 820


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A figure that is drawn when it is asked for.

    Attributes:
      stem: of its files.
      caption: what it shows.
      draw: "svg" or "png" -> the file's bytes.
    """

    stem: str
    caption: str
    draw: Callable[[str], bytes]


def drawings(found: LawStudy, runs: Sequence[RunCurve], convention: Convention) -> list[Drawing]:
    """Returns the figures that there are numbers for.

    Args:
      found: of the runs' losses, its C in the convention's unit.
      runs: in order of size.
      convention: of the axes.
    """
    shown = [
        Drawing(
            "loss_over_compute",
            "Loss over compute, a line for each run. The broad band is the frontier, the least loss that so much "
            "compute has bought, between the first and the last change of its holder. Laws are fitted to it and shown "
            "with their 90% intervals. Grey are the laws of the paper and of GPT-3, the latter of text: only its "
            "slope compares.",
            lambda kind: _law(found, runs, convention, kind),
        )
    ]
    by_budget, best_size = found.isoflop, found.best_size
    if by_budget is not None and best_size is not None:
        shown.append(
            Drawing(
                "isoflop",
                "IsoFLOP: loss of the sizes that were trained with the same compute, a parabola through each budget, "
                "and its lowest point.",
                lambda kind: _isoflop(by_budget, convention, kind),
            )
        )
        shown.append(
            Drawing(
                "best_size",
                "The best size of each budget, and its power law.",
                lambda kind: _best_size(by_budget, best_size, convention, kind),
            )
        )
    if any(len(run.train_step_S) for run in runs):
        shown.append(
            Drawing(
                "training_curves",
                "Training loss over tokens, as in the paper's Figure 2.",
                lambda kind: _training(runs, kind),
            )
        )
    return shown


def law_text(law: PowerLaw, floor: bool = False) -> str:
    """Returns a law as a person writes it."""
    return f"{law.a:.4g} C^{law.b:.4f}" + (f" + {law.c:.3f}" if floor else "")


def _ramp(values: Sequence[float]) -> list[Any]:
    """Returns a colour for each value, from small to large, that reads on light pages and on dark ones."""
    ramp = require("matplotlib", "train").colormaps["viridis"]
    different, places = np.unique(values, return_inverse=True)
    return [ramp(0.24 + 0.62 * place / max(len(different) - 1, 1)) for place in places]


def _law(found: LawStudy, runs: Sequence[RunCurve], convention: Convention, kind: str) -> bytes:
    def draw(axes: Any) -> dict[str, Any]:
        artists = {}
        for run, colour in zip(runs, _ramp([run.macs for run in runs]), strict=True):
            compute_P, loss_P = run.points(convention)
            marker = "o" if len(loss_P) == 1 else None
            (artists[run.name],) = axes.plot(
                compute_P, loss_P, color=colour, linewidth=1.7, marker=marker, markersize=4, zorder=4
            )
        ends = np.concatenate([run.points(convention).compute_P for run in runs])
        x = np.geomspace(ends.min(), ends.max(), _POINTS)
        if found.frontier is not None:
            compute_F, loss_F = found.frontier.compute_F * convention.unit, found.frontier.loss_F
            (artists["frontier"],) = axes.plot(
                compute_F, loss_F, color=INK, linewidth=7, alpha=0.2, solid_capstyle="round"
            )
        for (form, one), colour in zip(found.laws.items(), _LAW_COLOURS, strict=False):
            label = law_text(one.law, form.endswith("c"))
            _line_and_band(axes, artists, label, x, convention, one, colour)
        for label, law, dashes in (
            ("the paper's law", paper_law, (0, (5, 2))),
            ("GPT-3's law, of text", gpt3_law, (0, (1.5, 1.5))),
        ):
            (artists[label],) = axes.plot(
                x, law(x, convention), color=_QUIET, linestyle=dashes, linewidth=1.4
            )
        return artists

    label = "loss, nats per code"
    return rendered(
        draw, convention.label, label, log_x=True, log_y=True, height=520, width=WIDTH, file_format=kind
    )


def _line_and_band(
    axes: Any,
    artists: dict[str, Any],
    label: str,
    x: np.ndarray,
    convention: Convention,
    one: Estimate,
    colour: str,
) -> None:
    """Draws a law over x, which is not in the unit of its C, and puts it into the legend."""
    (artists[label],) = axes.plot(x, one.law(x / convention.unit), color=colour, linewidth=1.6, zorder=3)
    if (band := one.band(x / convention.unit)) is not None:
        axes.fill_between(x, *band, color=colour, alpha=0.16, linewidth=0)


def _isoflop(found: IsoFlop, convention: Convention, kind: str) -> bytes:
    def draw(axes: Any) -> dict[str, Any]:
        artists = {}
        for budget, colour in zip(found.budgets, _ramp([one.compute for one in found.budgets]), strict=True):
            sizes = np.geomspace(budget.size_R[0], budget.size_R[-1], _POINTS)
            axes.plot(sizes, np.polyval(budget.parabola, np.log(sizes)), color=colour, linewidth=1, alpha=0.7)
            axes.plot(
                budget.best_size, budget.best_loss, "o", markersize=9, fillstyle="none", color=colour,
                markeredgewidth=1.5,
            )  # fmt: skip
            label = f"at {budget.compute * convention.unit:.2g}"
            (artists[label],) = axes.plot(budget.size_R, budget.loss_R, "o", color=colour, markersize=4.5)
        return artists

    return rendered(
        draw, "parameters", "loss, nats per code", log_x=True, height=380, width=WIDTH, file_format=kind
    )


def _best_size(found: IsoFlop, estimate: Estimate, convention: Convention, kind: str) -> bytes:
    compute = np.array([budget.compute for budget in found.budgets]) * convention.unit

    def draw(axes: Any) -> dict[str, Any]:
        artists = {}
        sizes = [budget.best_size for budget in found.budgets]
        (artists["best size"],) = axes.plot(compute, sizes, "o", color=INK, markersize=4.5, zorder=4)
        x = np.geomspace(compute[0], compute[-1], _POINTS)
        _line_and_band(axes, artists, law_text(estimate.law), x, convention, estimate, _LAW_COLOURS[0])
        return artists

    return rendered(
        draw,
        convention.label,
        "parameters of the best size",
        log_x=True,
        log_y=True,
        width=WIDTH,
        file_format=kind,
    )


def _training(runs: Sequence[RunCurve], kind: str) -> bytes:
    def draw(axes: Any) -> dict[str, Any]:
        artists = {}
        for run, colour in zip(runs, _ramp([run.macs for run in runs]), strict=True):
            steps, loss = thinned(run.train_step_S, run.train_loss_S, _POINTS)
            tokens = steps * float(run.batch_size) * run.tokens
            (artists[run.name],) = axes.plot(tokens, loss, color=colour, linewidth=1.5)
        return artists

    return rendered(
        draw, "tokens", "training loss, nats per code", log_x=True, log_y=True, width=WIDTH, file_format=kind
    )
