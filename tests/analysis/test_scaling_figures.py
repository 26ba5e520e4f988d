import re

import numpy as np
import pytest

from tests.analysis.curves import curve
from toto_jax.analysis.compute import CONVENTIONS
from toto_jax.analysis.frontier import Points
from toto_jax.analysis.law_study import study
from toto_jax.analysis.scaling_figures import drawings

pytest.importorskip("matplotlib")


def figures(count: int, convention: str = "macs") -> dict[str, str]:
    sizes = [10**5 * 4**index for index in range(count)]
    runs = []
    for size in sizes:
        steps = np.unique(np.geomspace(size / 1e4, size / 10, 20).astype(int))
        losses = {int(step): 100 * size**-0.3 + 100 * (40.0 * step) ** -0.3 for step in steps}
        runs.append(curve(f"size {size}", losses, parameters=size, macs=10.0 * size))
    counted = CONVENTIONS[convention]
    curves = [
        Points(one.compute_P / counted.unit, one.loss_P) for one in (run.points(counted) for run in runs)
    ]
    found = study(curves, sizes, budgets=6, draws=20)
    return {one.stem: one.draw("svg").decode() for one in drawings(found, runs, counted)}


def texts(svg: str) -> set[str]:
    return set(re.findall(r">([^<>]+)</text>", svg))


def test_all_figures_of_enough_runs() -> None:
    shown = figures(5)
    assert set(shown) == {"loss_over_compute", "isoflop", "best_size", "training_curves"}
    law = texts(shown["loss_over_compute"])
    assert {"size 100000", "frontier", "the paper's law", "GPT-3's law, of text"} <= law
    assert len([text for text in law if " C^-" in text]) == 2, "both laws with their numbers"
    assert {"best size", "parameters of the best size"} <= texts(shown["best_size"])
    assert "size 100000" in texts(shown["training_curves"])
    assert shown == figures(5), "equal arguments give equal bytes"


def test_two_runs_have_their_curves_and_no_isoflop() -> None:
    assert set(figures(2)) == {"loss_over_compute", "training_curves"}


def test_axes_say_what_they_count() -> None:
    for name, convention in CONVENTIONS.items():
        assert convention.label in texts(figures(2, name)["loss_over_compute"])
