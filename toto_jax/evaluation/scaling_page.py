"""Pages about several runs: their scaling law, and which learning rate is best at which width."""

import pathlib
from collections.abc import Mapping, Sequence

from toto_jax.analysis.scaling_figures import Drawing
from toto_jax.evaluation.page import Html, drawing, element, joined, page, prose, table
from toto_jax.evaluation.results import Table


def write_page(
    folder: pathlib.Path,
    stem: str,
    title: str,
    sentences: Sequence[str],
    tables: Sequence[Table],
    drawings: Sequence[Drawing],
    left_out: Mapping[str, str],
) -> None:
    """Writes `<folder>/<stem>.html`, and beside it each of its figures as SVG and PNG.

    Args:
      folder: it is made.
      stem: of the page's file.
      title: of the page.
      sentences: what came out, the most important first.
      tables: below the figures.
      drawings: the figures.
      left_out: runs that are not in it, and why.

    Raises:
      ConfigError: if matplotlib isn't installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figures = []
    for one in drawings:
        svg = one.draw("svg")
        (folder / f"{one.stem}.svg").write_bytes(svg)
        (folder / f"{one.stem}.png").write_bytes(one.draw("png"))
        figures.append(drawing(svg, one.caption))
    body = [
        element("header", element("p", "toto_jax · several runs", class_="eyebrow"), element("h1", title)),
        *(prose(sentence) for sentence in sentences),
        *figures,
        element("h2", "Numbers"),
        *(table(one) for one in tables),
        *_left_out(left_out),
        element("footer", "Written by toto_jax from the files of these runs. Plots are inside this page."),
    ]
    (folder / f"{stem}.html").write_text(page(title, joined(body)), encoding="utf-8")


def _left_out(left_out: Mapping[str, str]) -> list[Html]:
    if not left_out:
        return []
    rows = tuple((name, why) for name, why in left_out.items())
    return [
        element("h2", "Left out"),
        table(Table(("run", "why"), rows, "Runs that these numbers do without.")),
    ]
