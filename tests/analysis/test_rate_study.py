"""Best rates of sweeps whose losses are known."""

import re
from collections.abc import Callable

import numpy as np
import pytest

from tests.analysis.curves import curve
from toto_jax.analysis.rate_study import RateStudy, rate_drawing, rate_rows, rate_study, verdict
from toto_jax.analysis.run_curves import RunCurve
from toto_jax.errors import DataError

WIDTHS = (64, 128, 256)


def sweep(loss: Callable[[int, int], float], rates: range = range(-12, -3)) -> list[RunCurve]:
    """A run of each width and rate; one without a finite loss has diverged."""
    runs = []
    for width in WIDTHS:
        for rate in rates:
            value = loss(width, rate)
            lost = not np.isfinite(value)
            points = {10: 8.0} if lost else {10: 8.0, 100: value}
            runs.append(curve(f"{width}/{rate}", points, width=width, learning_rate=2.0**rate, diverged=lost))
    return runs


def steady(width: int, rate: int) -> float:
    """Lowest at 2^-7.25 for all widths; the widest lose theirs from 2^-5 on."""
    if rate >= -5 and width == 256:
        return float("nan")
    return 400 / width + 0.1 * (rate + 7.25) ** 2


def moving(width: int, rate: int) -> float:
    """The best rate halves with each doubling of the width."""
    return 5 + 0.1 * (rate + 6 + np.log2(width / 64)) ** 2


def studied(loss: Callable[[int, int], float]) -> RateStudy:
    return rate_study(sweep(loss), {})[0]


def test_one_rate_serves_all() -> None:
    found = studied(steady)
    assert found.widths == WIDTHS
    assert found.log2_rate_K[found.best_W].tolist() == [-7, -7, -7]
    np.testing.assert_allclose(found.lowest_W, -7.25)
    assert found.drift == pytest.approx(0, abs=1e-9)
    assert found.given_away_W.tolist() == [0, 0, 0]
    said = " ".join(verdict(found, 1.0))
    assert "One rate serves all widths: at 2^-7, which is the best of each." in said
    assert found.diverged_WK.sum(axis=1).tolist() == [0, 0, 2]
    assert [row[-1] for row in rate_rows(found)] == ["0", "0", "2"]


def test_a_moving_optimum_costs_what_it_costs() -> None:
    """At 2^-7, the middle one's best, the others are one step off: 0.1 nats of 5, or 2%."""
    found = studied(moving)
    assert found.log2_rate_K[found.best_W].tolist() == [-6, -7, -8]
    assert found.drift == pytest.approx(-1)
    np.testing.assert_allclose(found.given_away_W, [0.1, 0, 0.1])
    assert verdict(found, 1.0)[0].startswith("No rate serves all widths: at 2^-7")
    assert "0.1000 nats or 2.00%" in verdict(found, 1.0)[0]
    assert verdict(found, 2.5)[0].startswith("One rate serves all widths")


def test_a_diverged_run_is_never_the_best_nor_common() -> None:
    found = studied(lambda width, rate: float("nan") if (width, rate) == (64, -7) else steady(width, rate))
    assert found.log2_rate_K[found.best_W].tolist() == [-8, -7, -7]
    assert found.log2_rate_K[found.common] == -8
    apart = studied(lambda width, rate: 5.0 if rate == {64: -6, 128: -7, 256: -8}[width] else float("nan"))
    assert apart.common is None
    assert np.isnan(apart.given_away_W).all()
    assert verdict(apart, 1.0)[0].startswith("No rate serves all widths: there is none")


def test_an_optimum_at_the_edge_is_doubted() -> None:
    found, _ = rate_study(sweep(steady, range(-7, -4)), {})
    assert found.edges == list(WIDTHS)
    assert any("the true one may lie outside" in line for line in verdict(found, 1.0))
    assert studied(steady).edges == []


def test_repeated_runs_are_averaged_and_others_left_out() -> None:
    again = [
        curve("again", {100: 10.0}, width=64, learning_rate=2.0**-7),
        curve("short", {50: 1.0}, width=64, learning_rate=2.0**-7),
        curve("longer", {200: 1.0}, width=64, learning_rate=2.0**-7, steps=200, recipe="200 steps"),
    ]
    found, left_out = rate_study([*sweep(steady), *again], {"gone": "why"})
    at = found.log2_rate_K.tolist().index(-7)
    assert found.loss_WK[0, at] == pytest.approx((steady(64, -7) + 10) / 2)
    assert left_out["gone"] == "why"
    assert left_out["short"] == "it has come to step 50 of 100"
    assert "200 steps, most have 9 codes, 100 steps" in left_out["longer"]


def test_one_kind_of_loss_for_all() -> None:
    """Where one run has no held-out loss, all are judged by that of training, which is 1 more here."""
    runs = sweep(steady)
    missing = curve(runs[0].name, {100: 7.0}, width=64, learning_rate=runs[0].learning_rate, held_out=False)
    found, _ = rate_study([missing, *runs[1:]], {})
    assert not found.held_out
    assert found.loss_WK[1, 0] == pytest.approx(steady(128, -12) + 1)
    assert "Losses are those of training" in verdict(found, 1.0)[-1]


def test_nothing_but_diverged_runs_is_refused() -> None:
    with pytest.raises(DataError, match="All of these runs diverged"):
        rate_study(sweep(lambda width, rate: float("nan")), {})


def test_the_figure_rings_each_optimum_and_crosses_what_diverged() -> None:
    pytest.importorskip("matplotlib")
    svg = rate_drawing(studied(steady)).draw("svg").decode()
    assert {"width 64", "width 128", "width 256", "diverged"} <= set(re.findall(r">([^<>]+)</text>", svg))
    assert svg == rate_drawing(studied(steady)).draw("svg").decode()
    assert svg != rate_drawing(studied(lambda width, rate: steady(width, min(rate, -6)))).draw("svg").decode()
