"""Line plots that read well in a report, on a light page and on a dark one."""

import io
import types
from collections.abc import Mapping
from typing import Any

import numpy as np

from toto_jax.errors import require

# Okabe and Ito's colours, told apart with every common colour blindness; those too pale for a white page are
# left out.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
# A second sign beside colour, for print in grey.
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (8, 2, 2, 2)))
# A colour that nothing else uses, which an SVG's page may replace by its own text colour.
_INK = "#1f2430"
# Of CSS pixels, so that `width` is what a browser shows.
_DOTS_PER_INCH = 96
# Up to so many points each one is marked: readers see what was measured and what is only drawn between.
_MARKED_POINTS = 33


def line_plot(
    x: np.ndarray,
    series: Mapping[str, np.ndarray],
    x_label: str,
    y_label: str,
    *,
    log_x: bool = False,
    log_y: bool = False,
    rings: Mapping[str, int] = types.MappingProxyType({}),
    width: int = 700,
    height: int = 340,
    file_format: str = "svg",
) -> bytes:
    """Draws lines over a shared x axis.

    Args:
      x: shared by all series.
      series: legend entry -> y values; those that aren't finite are left out and the line goes on across
        them.
      x_label: with its unit.
      y_label: with its unit.
      log_x: logarithmic x axis.
      log_y: logarithmic y axis.
      rings: series -> index of a point to be pointed out, such as its least one.
      width: pixels of the figure at normal resolution.
      height: the same.
      file_format: "svg" has a transparent ground and text in `currentColor`, so it takes the colours and the
        font of the page that it is put into; "png" is dark on white at twice the resolution.

    Returns:
      The file's bytes; equal arguments give equal bytes.

    Raises:
      ConfigError: if matplotlib isn't installed.
    """
    matplotlib = require("matplotlib", "train")
    figures = require("matplotlib.figure", "train")
    # A context of settings and a bare Figure: pyplot would keep figures alive and pick a window system.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "toto_jax", "font.size": 9.5}):
        size = (width / _DOTS_PER_INCH, height / _DOTS_PER_INCH)
        figure = figures.Figure(figsize=size, dpi=_DOTS_PER_INCH, layout="constrained")
        axes = figure.add_subplot()
        lines = _draw(axes, np.asarray(x), series)
        for name, index in rings.items():
            place, colour = (x[index], series[name][index]), lines[name].get_color()
            axes.plot(*place, marker="o", markersize=11, fillstyle="none", color=colour, markeredgewidth=1.6)
        _dress(axes, x_label, y_label, log_x, log_y)
        if not log_x and np.array_equal(x, np.round(x)):
            # There is no layer 2.5.
            axes.xaxis.get_major_locator().set_params(integer=True)
        if len(lines) > 1:
            _legend(figure, lines, width)
        buffer = io.BytesIO()
        if file_format == "png":
            figure.savefig(buffer, format="png", dpi=2 * _DOTS_PER_INCH, facecolor="white")
            return buffer.getvalue()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
        return buffer.getvalue().replace(_INK.encode(), b"currentColor")


def _draw(axes: Any, x: np.ndarray, series: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Draws each series and returns {legend entry: line}."""
    lines = {}
    for index, (name, y) in enumerate(series.items()):
        y = np.asarray(y, np.float64)
        finite = np.isfinite(y)
        marked = finite.sum() <= _MARKED_POINTS
        # Dashes change once all colours are used, so that no two of 24 series look alike.
        (lines[name],) = axes.plot(
            x[finite],
            y[finite],
            color=COLOURS[index % len(COLOURS)],
            linestyle=DASHES[index // len(COLOURS) % len(DASHES)],
            linewidth=1.8 if marked else 1.3,
            marker=MARKERS[index % len(MARKERS)] if marked else None,
            markersize=4,
            solid_capstyle="round",
            solid_joinstyle="round",
        )
    return lines


def _dress(axes: Any, x_label: str, y_label: str, log_x: bool, log_y: bool) -> None:
    """Labels, scales and a grid; no box."""
    for axis, log in (("x", log_x), ("y", log_y)):
        if log:
            axes.set(**{f"{axis}scale": "log"})
        else:
            axes.ticklabel_format(axis=axis, style="sci", scilimits=(-3, 6))
    # Labels come from data: a dollar sign in one is a dollar sign and not the start of a formula.
    axes.set_xlabel(x_label, color=_INK, parse_math=False)
    axes.set_ylabel(y_label, color=_INK, parse_math=False)
    axes.grid(True, which="major", color="#808080", alpha=0.25, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0, color=_INK, labelcolor=_INK, pad=5)
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_offset_text().set_color(_INK)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#808080")
    axes.margins(x=0.015, y=0.08)


def _legend(figure: Any, lines: Mapping[str, Any], width: int) -> None:
    """Puts the legend above the axes, in as many columns as fit."""
    longest = max(len(name) for name in lines)
    columns = int(np.clip(width // (45 + 7 * longest), 1, len(lines)))
    legend = figure.legend(
        list(lines.values()),
        ["." for _ in lines],
        loc="outside upper left",
        ncols=columns,
        frameon=False,
        labelcolor=_INK,
        handlelength=1.8,
        columnspacing=1.6,
    )
    # Names are set afterwards: an entry that starts with an underscore would be left out.
    for text, name in zip(legend.get_texts(), lines, strict=True):
        text.set_parse_math(False)
        text.set_text(name)
