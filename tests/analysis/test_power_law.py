import numpy as np
import pytest

from toto_jax.analysis.power_law import PowerLaw, fit_power_law
from toto_jax.errors import DataError

X = np.geomspace(1e12, 1e17, 25)


@pytest.mark.parametrize(("a", "b", "c"), [(16.9, -0.0378, 0.0), (45.32, -0.2063, 2.70), (1e-3, 0.5, 0.0)])
def test_planted_laws_come_out(a: float, b: float, c: float) -> None:
    found = fit_power_law(X, a * X**b + c, floor=c > 0)
    assert found.a == pytest.approx(a, rel=1e-3)
    assert found.b == pytest.approx(b, rel=1e-4)
    assert found.c == pytest.approx(c, rel=1e-4)


def test_a_floor_is_not_made_up() -> None:
    assert fit_power_law(X, 16.9 * X**-0.0378, floor=True).c < 0.05


def test_noise_moves_a_law_little_and_an_odd_point_hardly() -> None:
    noise = np.exp(0.005 * np.random.default_rng(0).standard_normal(len(X)))
    y = 16.9 * X**-0.0378 * noise
    plain = fit_power_law(X, y)
    assert plain.b == pytest.approx(-0.0378, abs=0.001)
    y[20] *= 2
    assert fit_power_law(X, y).b == pytest.approx(plain.b, abs=0.0005)
    squares = np.polyfit(np.log(X), np.log(y), 1)[0]
    assert abs(squares - plain.b) > 0.002, "least squares would have moved"


def test_log_errors_are_relative() -> None:
    np.testing.assert_allclose(
        PowerLaw(2.0, -1.0).log_errors(np.array([1.0, 2.0]), np.array([2.0, 1.1])), [0, np.log(1.1)]
    )


@pytest.mark.parametrize(("points", "floor"), [(1, False), (2, True)])
def test_too_few_points_are_refused(points: int, floor: bool) -> None:
    with pytest.raises(DataError, match=f"{points} points can't tell"):
        fit_power_law(np.repeat(X[:points], 3), np.ones(3 * points), floor)
