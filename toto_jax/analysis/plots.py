"""Line plots that read well in a report, on a light page and on a dark one."""

import io
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from toto_jax.errors import require

# Okabe and Ito's colours, told apart with every common colour blindness; those too pale for a white page are
# left out.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
# A second sign beside colour, for print in grey.
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (8, 2, 2, 2)))
# A colour that nothing else uses, which an SVG's page replaces by its own text colour.
INK = "#1f2430"
# Of CSS pixels, so that `width` is what a browser shows.
_DOTS_PER_INCH = 96
# Up to so many points each one is marked: readers see what was measured and what is only drawn between.
_MARKED_POINTS = 33
# Up to here a logarithmic axis has round steps, and up to there 1, 2 and 5 of each decade: its end over its start.
_ROUND_STEPS, _PLAIN_TICKS = 20.0, 1_000.0
# Of plain numbers on an axis; larger and smaller ones are powers of ten.
_PLAIN = (1e-3, 1e5)


def line_plot(
    x: np.ndarray,
    series: Mapping[str, np.ndarray],
    x_label: str,
    y_label: str,
    *,
    log_x: bool = False,
    log_y: bool = False,
    rings: Mapping[str, int] = types.MappingProxyType({}),
    crosses: Mapping[str, Sequence[int]] = types.MappingProxyType({}),
    cross_label: str = "",
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
      crosses: series -> indices that have no value worth a place; they are crosses above the plot.
      cross_label: legend entry of those.
      width: pixels of the figure at normal resolution.
      height: the same.
      file_format: "svg" has a transparent ground and text in `currentColor`, so it takes the colours and the
        font of the page that it is put into; "png" is dark on white at twice the resolution.

    Returns:
      The file's bytes; equal arguments give equal bytes.

    Raises:
      ConfigError: if matplotlib isn't installed.
    """
    x = np.asarray(x)

    def draw(axes: Any) -> dict[str, Any]:
        lines = _draw(axes, x, series)
        for name, index in rings.items():
            place, colour = (x[index], series[name][index]), lines[name].get_color()
            axes.plot(*place, marker="o", markersize=11, fillstyle="none", color=colour, markeredgewidth=1.6)
        for row, (name, indices) in enumerate(crosses.items()):
            # Each series in a row of its own, as several may have lost the same place.
            height, colour = np.full(len(indices), 1.03 + 0.045 * row), lines[name].get_color()
            above = {"clip_on": False, "transform": axes.get_xaxis_transform()}
            axes.plot(
                x[list(indices)], height, "x", color=colour, markersize=5.5, markeredgewidth=1.5, **above
            )
        if crosses:
            (lines[cross_label],) = axes.plot([], [], "x", color=INK, markersize=5.5, markeredgewidth=1.5)
        return lines

    # There is no layer 2.5.
    whole_x = not log_x and np.array_equal(x, np.round(x))
    return rendered(
        draw, x_label, y_label, log_x=log_x, log_y=log_y, whole_x=whole_x, width=width, height=height,
        file_format=file_format,
    )  # fmt: skip


def rendered(
    draw: Callable[[Any], Mapping[str, Any]],
    x_label: str,
    y_label: str,
    *,
    log_x: bool = False,
    log_y: bool = False,
    whole_x: bool = False,
    rows: Sequence[str] = (),
    width: int = 700,
    height: int = 340,
    file_format: str = "svg",
) -> bytes:
    """Returns a plot in the dress of all plots; see `line_plot` for the arguments that are not here.

    Args:
      draw: draws on matplotlib's axes and returns legend entry -> artist.
      x_label: with its unit.
      y_label: with its unit.
      log_x: logarithmic x axis.
      log_y: logarithmic y axis.
      whole_x: ticks at whole numbers only.
      rows: names at y = 0, 1, ... from above, in place of numbers.
      width: pixels of the figure at normal resolution.
      height: the same.
      file_format: "svg" or "png".

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
        artists = draw(axes)
        _dress(axes, x_label, y_label, log_x, log_y)
        if rows:
            axes.set_yticks(range(len(rows)), rows)
            axes.set_ylim(len(rows) - 0.4, -0.6)
        if whole_x:
            axes.xaxis.get_major_locator().set_params(integer=True)
        if len(artists) > 1:
            _legend(figure, artists, width)
        buffer = io.BytesIO()
        if file_format == "png":
            figure.savefig(buffer, format="png", dpi=2 * _DOTS_PER_INCH, facecolor="white")
            return buffer.getvalue()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
        return buffer.getvalue().replace(INK.encode(), b"currentColor")


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
    axes.set_xlabel(x_label, color=INK, parse_math=False)
    axes.set_ylabel(y_label, color=INK, parse_math=False)
    axes.grid(True, which="major", color="#808080", alpha=0.25, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0, color=INK, labelcolor=INK, pad=5)
    for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        axis.get_offset_text().set_color(INK)
        plain = high < _PLAIN_TICKS * low and _PLAIN[0] < low < high < _PLAIN[1]
        if axis.get_scale() == "log" and (plain or high < _ROUND_STEPS * low):
            # Within a decade or so powers of ten name no point of the axis, within a few hardly any.
            ticker = require("matplotlib.ticker", "train")
            few = high < _ROUND_STEPS * low
            axis.set_major_locator(ticker.MaxNLocator(6) if few else ticker.LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_locator(ticker.NullLocator())
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#808080")
    axes.margins(x=0.015, y=0.08)


def _legend(figure: Any, artists: Mapping[str, Any], width: int) -> None:
    """Puts the legend above the axes, in as many columns as fit."""
    longest = max(len(name) for name in artists)
    columns = int(np.clip(width // (52 + 7 * longest), 1, len(artists)))
    legend = figure.legend(
        list(artists.values()),
        ["." for _ in artists],
        loc="outside upper left",
        ncols=columns,
        frameon=False,
        labelcolor=INK,
        handlelength=1.8,
        columnspacing=1.6,
    )
    # Names are set afterwards: an entry that starts with an underscore would be left out.
    for text, name in zip(legend.get_texts(), artists, strict=True):
        text.set_parse_math(False)
        text.set_text(name)
