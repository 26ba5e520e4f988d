import pathlib

from toto_jax.analysis.scaling_figures import Drawing
from toto_jax.evaluation.results import Table
from toto_jax.evaluation.scaling_page import write_page

HOSTILE = "<script>alert(1)</script>"
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><g id="one"/></svg>'


def test_a_page_holds_its_figures_and_nothing_hostile(tmp_path: pathlib.Path) -> None:
    figure = Drawing("curve", HOSTILE, lambda kind: SVG if kind == "svg" else b"a picture")
    table = Table(("run",), ((HOSTILE,),), "all runs")
    write_page(tmp_path / "new", "law", "A law", [HOSTILE], [table], [figure], {HOSTILE: "why not"})
    text = (tmp_path / "new" / "law.html").read_text()
    assert text.count("&lt;script&gt;") == 4
    assert "<script" not in text
    assert text.count("<svg") == 1
    assert "why not" in text
    assert (tmp_path / "new" / "curve.svg").read_bytes() == SVG
    assert (tmp_path / "new" / "curve.png").read_bytes() == b"a picture"


def test_where_no_run_is_left_out_none_is_spoken_of(tmp_path: pathlib.Path) -> None:
    write_page(tmp_path, "law", "A law", [], [], [], {})
    assert "Left out" not in (tmp_path / "law.html").read_text()
