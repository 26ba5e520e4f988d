"""HTML in which all text is escaped that wasn't built here: elements, figures, tables, and the page around.

A page is one file without scripts, with its pictures inside; its content policy forbids it to load anything.
"""

import base64
import html
import math
import pathlib
import re
from collections.abc import Iterable, Sequence

import numpy as np

from toto_jax.analysis.plots import line_plot
from toto_jax.evaluation.results import Curve, Table
from toto_jax.evaluation.style import STYLE

# Of the text column, in CSS pixels.
COLUMN = 820
_MEDIA_TYPES = {".png": "image/png", ".gif": "image/gif"}


class Html(str):
    """Markup. Any other string among an element's children is text, and is escaped."""


def element(tag: str, *children: str, **attributes: str | int | float) -> Html:
    """Returns <tag attributes>children</tag>; attributes class_ and aria_hidden are class and aria-hidden."""
    names = [name.rstrip("_").replace("_", "-") for name in attributes]
    values = [html.escape(str(value)) for value in attributes.values()]
    written = "".join(f' {name}="{value}"' for name, value in zip(names, values, strict=True))
    inner = joined(children)
    return Html(f"<{tag}{written}>" if tag == "img" else f"<{tag}{written}>{inner}</{tag}>")


def joined(parts: Iterable[str]) -> Html:
    """Returns the parts one after the other."""
    return Html("".join(part if isinstance(part, Html) else html.escape(part) for part in parts))


def prose(text: str) -> Html:
    """Returns text as a paragraph in which `backticks` set code."""
    parts = re.split(r"`([^`]*)`", text)
    return element("p", *(element("code", part) if index % 2 else part for index, part in enumerate(parts)))


def missing(text: str, command: str = "") -> Html:
    """Returns a note on what isn't there, with the command that would make it."""
    return element("div", prose(text), *([element("pre", command)] if command else []), class_="missing")


def readable(name: str) -> str:
    """Returns a result's name as words, without the unit that `number` writes behind its value."""
    words = name.replace("/", ", ").replace("_", " ").split()
    return " ".join(word for word in words if word not in ("percent", "db"))


def number(value: float | int | str, name: str = "") -> str:
    """Returns a number with as many digits as mean something, and the unit that its name gives away."""
    if isinstance(value, str):
        return value
    if not math.isfinite(value):
        return "–"
    words = re.split(r"[_/ ]", name)
    if "percent" in words:
        return f"{value:.1f} %"
    if "db" in words:
        return f"{value:.1f} dB"
    if isinstance(value, int) or (abs(value) >= 1000 and value == int(value)):
        return f"{value:,.0f}"
    return f"{value:.4g}"


def magnitude(value: float) -> str:
    """Returns a large number in three digits: 1.23T, 45.6B, 789M, 12.3k."""
    for scale, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{value / scale:.3g}{suffix}"
    return f"{value:.3g}"


def figure(content: Html, caption: str, class_: str = "result") -> Html:
    """Returns a picture above the sentence that says what it shows."""
    return element("figure", content, element("figcaption", caption), class_=class_)


def plot(curve: Curve, width: int = COLUMN, height: int = 330) -> Html:
    """Returns a curve drawn in the page's own colours, above its caption."""
    svg = line_plot(curve.x, curve.series, curve.x_label, curve.y_label, width=width, height=height)
    return drawing(svg, curve.caption, "plot" if width == COLUMN else "small plot")


def drawing(svg: bytes, caption: str, class_: str = "plot") -> Html:
    """Returns an SVG of `analysis.plots`, inside the page, above its caption."""
    text = svg.decode()
    # Inside HTML an SVG needs neither prolog nor metadata, and names of groups would clash with other plots'.
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    return figure(Html(text), caption, class_)


def media(path: pathlib.Path, caption: str) -> Html:
    """Returns a picture or an animation, inside the page, above its caption."""
    if not path.is_file() or path.suffix not in _MEDIA_TYPES:
        return missing(
            f"`{path.name}` should be here, but it is gone. Evaluate that step again to have it back."
        )
    data = base64.b64encode(path.read_bytes()).decode()
    source = f"data:{_MEDIA_TYPES[path.suffix]};base64,{data}"
    return figure(element("img", src=source, alt=caption), caption)


def table(content: Table) -> Html:
    """Returns a table above its caption."""
    names = content.header
    rows = [
        [element("td", number(cell, name)) for name, cell in zip(names, row, strict=True)]
        for row in content.rows
    ]
    return figure(grid([element("th", name) for name in names], rows), content.caption)


def grid(header: Sequence[Html], rows: Sequence[Sequence[Html]]) -> Html:
    """Returns a <table> of cells."""
    body = [element("tr", *row) for row in rows]
    return element("table", element("thead", element("tr", *header)), element("tbody", *body))


def sparkline(points: Sequence[tuple[int, float]]) -> Html:
    """Returns a word-sized curve; empty for fewer than two finite points."""
    x, y = (np.array(values, np.float64) for values in zip(*points, strict=True))
    x, y = x[np.isfinite(y)], y[np.isfinite(y)]
    if len(x) < 2:
        return Html("")
    x = 3 + 94 * (x - x[0]) / (x[-1] - x[0])
    y = 19 - 16 * (y - y.min()) / max(float(np.ptp(y)), 1e-30)
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    dot = element("circle", cx=f"{x[-1]:.1f}", cy=f"{y[-1]:.1f}", r=2.2)
    return element(
        "svg", element("polyline", points=path), dot, viewBox="0 0 100 22", class_="spark", aria_hidden="true"
    )


def page(title: str, body: Html) -> str:
    """Returns the whole document."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    head = joined(
        [
            Html('<meta charset="utf-8">'),
            Html(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
            Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            element("title", title),
            element("style", Html(STYLE)),
        ]
    )
    return f'<!doctype html>\n<html lang="en">\n<head>{head}</head>\n{element("body", body)}\n</html>\n'
