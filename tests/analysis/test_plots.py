import io
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from toto_jax.analysis.plots import COLOURS, line_plot

pytest.importorskip("matplotlib")

SVG = "{http://www.w3.org/2000/svg}"
X = np.arange(5)


def texts(svg):
    return ["".join(element.itertext()).strip() for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_svg_says_what_it_was_given_whatever_that_is():
    names = ["<script>&", "_hidden", "$x_$"]
    shown = texts(line_plot(X, {name: X * index for index, name in enumerate(names)}, "$x$ steps", "$y$ <b>"))
    assert {*names, "$x$ steps", "$y$ <b>"} <= set(shown)


def test_one_line_needs_no_legend():
    assert "alone" not in texts(line_plot(X, {"alone": X}, "x", "y"))


def test_svg_takes_the_colour_and_the_ground_of_its_page():
    svg = line_plot(X, {"a": X, "b": -X}, "x", "y").decode()
    root = ElementTree.fromstring(svg)
    assert all("currentColor" in element.get("style") for element in root.iter(f"{SVG}text"))
    assert "white" not in svg
    assert "#ffffff" not in svg
    assert COLOURS[0] in svg
    assert COLOURS[1] in svg


@pytest.mark.parametrize(("width", "height"), [(700, 340), (260, 190)])
def test_svg_is_as_large_in_a_browser_as_asked(width, height):
    root = ElementTree.fromstring(line_plot(X, {"a": X}, "x", "y", width=width, height=height))
    # A point is 4/3 of a CSS pixel.
    assert float(root.get("width").removesuffix("pt")) * 4 / 3 == pytest.approx(width)
    assert float(root.get("height").removesuffix("pt")) * 4 / 3 == pytest.approx(height)


def test_equal_plots_are_equal_bytes():
    assert line_plot(X, {"a": X, "b": X + 1}, "x", "y") == line_plot(X, {"a": X, "b": X + 1}, "x", "y")
    assert line_plot(X, {"a": X}, "x", "y") != line_plot(X, {"a": X + (X == 2)}, "x", "y")


def test_values_that_are_not_finite_are_left_out():
    y = np.array([1.0, np.nan, 3.0, np.inf, 2.0])
    kept = np.isfinite(y)
    assert line_plot(X, {"a": y}, "x", "y") == line_plot(X[kept], {"a": y[kept]}, "x", "y")
    assert line_plot(X, {"a": np.full(5, np.nan)}, "x", "y")


def test_whole_numbers_get_whole_ticks():
    ticks = texts(line_plot(np.arange(3), {"a": np.arange(3) * 10.0}, "layer", "y"))
    assert {"0", "1", "2"} <= set(ticks)
    assert "0.5" not in ticks
    assert "0.6" in texts(line_plot(np.arange(3) / 2 + 0.25, {"a": np.arange(3) * 10.0}, "time", "y"))


def test_power_law_is_straight_on_log_axes():
    x = np.logspace(0, 4, 9)
    svg = line_plot(x, {"law": 7.32 * x**-0.0378}, "compute", "loss", log_x=True, log_y=True)
    root = ElementTree.fromstring(svg)
    style = f"stroke: {COLOURS[0]}"
    (path,) = [p for p in root.iter(f"{SVG}path") if style in p.get("style", "") and "C" not in p.get("d")]
    points = np.array([float(word) for word in path.get("d").split() if word not in "ML"]).reshape(-1, 2)
    slopes = np.diff(points[:, 1]) / np.diff(points[:, 0])
    np.testing.assert_allclose(slopes, slopes[0], rtol=1e-3)


def test_a_logarithmic_axis_of_less_than_a_decade_names_its_numbers():
    narrow = texts(line_plot(X + 0.5, {"a": np.linspace(2.8, 5.6, 5)}, "x", "y", log_y=True))
    assert {"3", "3.6", "4.2", "4.8", "5.4"} <= set(narrow)
    few = texts(line_plot(X + 0.5, {"a": np.geomspace(0.24, 6.8, 5)}, "x", "y", log_y=True))
    assert {"0.5", "1", "2", "5"} <= set(few)
    wide = texts(line_plot(X + 0.5, {"a": np.geomspace(2.8, 5600, 5)}, "x", "y", log_y=True))
    assert ["1", "0", "2"] in [word.split() for word in wide], "ten to the second"


def test_what_has_no_value_is_a_cross_in_the_colour_of_its_series():
    series = {"a": X * 1.0, "b": np.where(X < 3, X, np.nan)}
    svg = line_plot(X, series, "x", "y", crosses={"b": [3, 4]}, cross_label="lost")
    assert "lost" in texts(svg)
    plain = line_plot(X, series, "x", "y").decode()
    assert "lost" not in texts(plain.encode())
    assert svg.decode().count(COLOURS[1]) > plain.count(COLOURS[1])
    assert svg.decode().count(COLOURS[0]) == plain.count(COLOURS[0])


def test_png_has_twice_the_resolution_and_a_white_ground():
    image = pytest.importorskip("PIL.Image")
    png = line_plot(X, {"a": X}, "x", "y", width=300, height=200, file_format="png")
    picture = image.open(io.BytesIO(png)).convert("RGB")
    assert picture.size == (600, 400)
    assert picture.getpixel((0, 0)) == (255, 255, 255)


def test_pyplot_and_its_global_state_stay_out():
    code = (
        "import sys, numpy, matplotlib; from toto_jax.analysis.plots import line_plot; "
        "before = matplotlib.rcParams['svg.fonttype'], matplotlib.rcParams['font.size']; "
        "line_plot(numpy.arange(3), {'a': numpy.arange(3)}, 'x', 'y'); "
        "assert 'matplotlib.pyplot' not in sys.modules; "
        "assert before == (matplotlib.rcParams['svg.fonttype'], matplotlib.rcParams['font.size'])"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
