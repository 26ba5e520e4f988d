import math

import numpy as np
import pytest

from toto_jax.evaluation.page import (
    Html,
    element,
    magnitude,
    media,
    missing,
    number,
    page,
    prose,
    readable,
    sparkline,
    table,
)
from toto_jax.evaluation.results import Table


def test_text_is_escaped_and_markup_is_not():
    inner = element("b", "1 < 2 & 3")
    assert inner == "<b>1 &lt; 2 &amp; 3</b>"
    assert element("p", inner, "<i>", class_='"x"') == (
        '<p class="&quot;x&quot;"><b>1 &lt; 2 &amp; 3</b>&lt;i&gt;</p>'
    )


def test_prose_sets_code_and_still_escapes():
    assert prose("run `a <b>` & see") == "<p>run <code>a &lt;b&gt;</code> &amp; see</p>"


def test_missing_shows_the_command():
    assert "<pre>python -m x &lt;y&gt;</pre>" in missing("gone", "python -m x <y>")


@pytest.mark.parametrize(
    ("value", "name", "expected"),
    [
        (2.99123, "loss", "2.991"),
        (0.1, "accuracy", "0.1"),
        (19.64, "percent_below_copy", "19.6 %"),
        (21.34, "psnr_db", "21.3 dB"),
        (21.34, "feedback", "21.34"),
        (2_712_345, "parameters", "2,712,345"),
        (3000.0, "steps", "3,000"),
        (7, "layer", "7"),
        (3e-4, "rate", "0.0003"),
        (math.nan, "loss", "–"),
        ("cat", "class", "cat"),
    ],
)
def test_numbers_have_the_digits_and_unit_that_matter(value, name, expected):
    assert number(value, name) == expected


def test_magnitudes():
    assert [magnitude(x) for x in (12, 12_345, 49_152_000, 1.05e12)] == ["12", "12.3k", "49.2M", "1.05T"]


def test_readable_names_leave_the_unit_to_the_number():
    assert readable("percent_below_copy") == "below copy"
    assert readable("attention/accuracy_layer_03") == "attention, accuracy layer 03"


def test_sparkline_rises_with_its_values():
    line = sparkline([(0, 1.0), (5, math.nan), (10, 3.0)])
    assert 'points="3.0,19.0 97.0,3.0"' in line  # y points down
    assert sparkline([(0, 1.0)]) == ""
    assert sparkline([(0, 1.0), (1, math.nan)]) == ""


def test_sparkline_of_a_constant_is_flat():
    assert 'points="3.0,19.0 50.0,19.0 97.0,19.0"' in sparkline([(0, 2.0), (1, 2.0), (2, 2.0)])


def test_table_formats_by_its_header():
    shown = table(Table(("class", "percent right"), (("<cat>", 12.345), ("dog", np.nan)), "a caption"))
    assert "<td>&lt;cat&gt;</td><td>12.3 %</td>" in shown
    assert "<td>dog</td><td>–</td>" in shown
    assert "<figcaption>a caption</figcaption>" in shown


def test_media_that_is_gone_is_said_to_be(tmp_path):
    assert "5-moving.gif" in media(tmp_path / "5-moving.gif", "a caption")
    (tmp_path / "page.html").write_text("<script>")
    assert "script" not in media(tmp_path / "page.html", "a caption")  # only pictures are put inside


def test_page_can_load_nothing():
    written = page("<title>", Html("<p>x</p>"))
    assert "default-src 'none'; img-src data:" in written
    assert "<title>&lt;title&gt;</title>" in written
