"""The commands over folders of runs."""

import json
import pathlib

import pytest

from tests.analysis.sweeps import BATCH, macs, write_run
from tests.processes import run

pytest.importorskip("matplotlib")


def test_the_command_on_a_sweep(tmp_path: pathlib.Path) -> None:
    """Losses fall as 20 (steps x MACs of a step)^-0.05 times how far a size is from that compute's best."""
    for width in (16, 32, 64, 128):
        each = BATCH * macs(width, 1)
        held_out = {}
        for step in (2, 4, 8, 16, 32, 64, 128):
            compute = step * each
            held_out[step] = 20 * compute**-0.05 * (1 + 0.3 * (step / 16 - 1) ** 2 / (step / 16 + 1))
        write_run(tmp_path / "runs" / f"w{width}", width, 1, {128: 3.0}, held_out, 128)
    write_run(tmp_path / "runs" / "other", 16, 1, {128: 3.0}, {}, 128, **{"tokenizer.codebook_size": 40})
    out = tmp_path / "out"
    printed = run(
        "analysis.scaling_law", str(tmp_path / "runs"), f"--out={out}", "--convention=flops", "--draws=20"
    )
    numbers = json.loads((out / "scaling_law.json").read_text())
    assert numbers["convention"]["name"] == "flops"
    assert numbers["laws"]["frontier, a C^b"]["b"]["value"] == pytest.approx(-0.05, abs=0.01)
    smallest = numbers["runs"][0]
    assert smallest["name"] == "w16"
    for name, factor in (("macs", 1), ("flops", 6), ("paper", 1 / 17)):
        assert smallest["compute"][name][0] == pytest.approx(2 * BATCH * macs(16, 1) * factor)
    assert list(numbers["left_out"]) == ["other"]
    assert "Left out: other: it has 4 x 2 x 2 codes out of 40, most have" in printed
    assert "C: Floating-point operations of training" in printed
    page = (out / "scaling_law.html").read_text()
    assert page.count("<svg") == len(list(out.glob("*.svg"))) == len(list(out.glob("*.png"))) >= 2
    assert "it has 4 x 2 x 2 codes out of 40" in page
