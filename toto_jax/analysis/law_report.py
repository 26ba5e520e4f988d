"""A scaling law in words, in a table and in JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from toto_jax.analysis.compute import CONVENTIONS, Convention
from toto_jax.analysis.law_study import Estimate, LawStudy
from toto_jax.analysis.run_curves import RunCurve

RUN_HEADER = (
    "run", "parameters", "layers x width", "tokens of a step", "points", "loss of", "last loss", "MACs", "paper's axis",
)  # fmt: skip
LAW_HEADER = ("law", "fitted to", "a", "b", "c", "error")


def run_rows(runs: Sequence[RunCurve]) -> list[tuple[str, ...]]:
    """Returns a row of cells for each run, as of `RUN_HEADER`."""
    return [
        (
            run.name,
            f"{run.parameters:,}",
            f"{run.layers} x {run.width}",
            f"{run.batch_size * run.tokens:,}",
            str(len(run.loss_P)),
            "held-out clips" if run.held_out else "training clips",
            f"{run.loss_P[-1]:.4f}",
            *(f"{run.compute(int(run.step_P[-1]), CONVENTIONS[name]):.3g}" for name in ("macs", "paper")),
        )
        for run in runs
    ]


def law_rows(found: LawStudy) -> list[tuple[str, ...]]:
    """Returns a row of cells for each law, as of `LAW_HEADER`."""
    rows = [_law_row(f"L = {form}", "frontier", one, form) for form, one in found.laws.items()]
    if found.best_loss is not None and found.best_size is not None:
        rows.append(_law_row("L = a C^b", "IsoFLOP", found.best_loss, ""))
        rows.append(_law_row("N = a C^b", "IsoFLOP", found.best_size, ""))
    return rows


def _law_row(form: str, method: str, one: Estimate, floor: str) -> tuple[str, ...]:
    cells = [_with_interval(one, "a", ".4g"), _with_interval(one, "b", ".4f")]
    cells.append(_with_interval(one, "c", ".3f") if floor.endswith("c") else "")
    return (form, method, *cells, f"{100 * one.error:.2f}%")


def _with_interval(one: Estimate, name: str, digits: str) -> str:
    value, interval = format(getattr(one.law, name), digits), one.interval(name)
    return (
        value
        if interval is None
        else f"{value} ({format(interval[0], digits)} to {format(interval[1], digits)})"
    )


def sentences(found: LawStudy, runs: Sequence[RunCurve], convention: Convention) -> list[str]:
    """Returns what a reader has to know of the laws, the most important first."""
    said = []
    for form, one in found.laws.items():
        spread = one.interval("b")
        how_sure = (
            "" if spread is None else f", the exponent between {spread[0]:.4f} and {spread[1]:.4f} (90%)"
        )
        c = f" + {one.law.c:.3f}" if form.endswith("c") else ""
        said.append(f"L(C) = {one.law.a:.4g} C^{one.law.b:.4f}{c}{how_sure}.")
    floor = found.laws.get("a C^b + c")
    interval = floor.interval("c") if floor is not None else None
    if interval is not None and interval[0] < 0.01 * floor.law(found.frontier.compute_F).min():
        said.append("The floor c may as well be 0: these runs don't show one.")
    if found.frontier is not None:
        span = found.frontier.compute_F[[0, -1]] * convention.unit
        said.append(
            f"The frontier is {len(found.frontier.loss_F)} points from {span[0]:.3g} to {span[1]:.3g}; a law says "
            "little far outside of that."
        )
    if found.isoflop is not None:
        budgets = found.isoflop.budgets
        said.append(
            f"By IsoFLOP, from {len(budgets)} budgets from {budgets[0].compute * convention.unit:.3g} to "
            f"{budgets[-1].compute * convention.unit:.3g}, the best size grows as C^{found.isoflop.size.b:.3f}."
        )
    said.append(f"C: {convention.meaning}")
    kinds = {run.held_out for run in runs}
    if kinds == {False}:
        said.append("Losses are those of training: no held-out loss was measured.")
    if len(kinds) > 1:
        said.append("Losses of held-out clips and of training are mixed: the table says whose are which.")
    lengths = sorted({run.tokens for run in runs})
    # A start token is among them, which the paper may not count.
    if convention.per_sequence and not all(4_096 <= length <= 4_100 for length in lengths):
        said.append(
            f"Sequences are of {', '.join(map(str, lengths))} tokens and the paper's of 4,096, so a sequence counts "
            "for another share of what it takes than in the paper's law."
        )
    return said + list(found.problems)


def as_json(
    found: LawStudy, runs: Sequence[RunCurve], left_out: Mapping[str, str], convention: str
) -> dict[str, Any]:
    """Returns all numbers; C of laws is in the convention's unit, and compute everywhere else isn't."""
    counted = CONVENTIONS[convention]
    laws = {f"frontier, {form}": one for form, one in found.laws.items()}
    laws |= {"isoflop, loss": found.best_loss, "isoflop, parameters": found.best_size}
    return {
        "convention": {"name": convention, "meaning": counted.meaning, "unit_of_C": counted.unit},
        "laws": {name: _estimate(one) for name, one in laws.items() if one is not None},
        "frontier": []
        if found.frontier is None
        else [
            {"run": runs[run].name, "compute": compute * counted.unit, "loss": loss}
            for run, compute, loss in zip(*(values.tolist() for values in found.frontier), strict=True)
        ],
        "budgets": []
        if found.isoflop is None
        else [
            {
                "compute": budget.compute * counted.unit,
                "parameters": budget.best_size,
                "loss": budget.best_loss,
            }
            for budget in found.isoflop.budgets
        ],
        "problems": list(found.problems),
        "runs": [_run(run) for run in runs],
        "left_out": dict(left_out),
    }


def _estimate(one: Estimate) -> dict[str, Any]:
    return {name: {"value": getattr(one.law, name), "interval_90": one.interval(name)} for name in "abc"} | {
        "relative_error": one.error
    }


def _run(run: RunCurve) -> dict[str, Any]:
    sizes = ("name", "parameters", "layers", "width", "tokens", "batch_size", "macs", "held_out")
    points = {name: run.compute(run.step_P, counted).tolist() for name, counted in CONVENTIONS.items()}
    return {name: getattr(run, name) for name in sizes} | {
        "steps": run.step_P.tolist(),
        "loss": run.loss_P.tolist(),
        "compute": points,
    }
