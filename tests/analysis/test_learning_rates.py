import json
import pathlib

import pytest

from tests.analysis.sweeps import write_run
from tests.processes import run

pytest.importorskip("matplotlib")


def test_the_command_on_a_sweep(tmp_path: pathlib.Path) -> None:
    for width in (16, 32):
        for rate in (-9, -8, -7, -6):
            loss = 5 - width / 16 + 0.1 * (rate + 7.6 + width / 40) ** 2
            folder = tmp_path / "runs" / f"w{width}_{rate}"
            lost = rate == -6
            write_run(
                folder, width, 1, {10: 6.0} if lost else {50: loss}, {} if lost else {50: loss}, 50, 2.0**rate
            )
            if lost:
                with (folder / "metrics.jsonl").open("a") as log:
                    log.write('{"bad_steps_in_a_row": 10, "step": 23, "kind": "diverged"}\n')
    out = tmp_path / "out"
    printed = run("analysis.learning_rates", str(tmp_path / "runs"), f"--out={out}", "--percent=2.5")
    numbers = json.loads((out / "learning_rates.json").read_text())
    assert numbers["widths"] == [16, 32]
    # The widths' lowest points lie at -8 and -8.4: -8 serves both, and costs nothing.
    assert numbers["common_log2_rate"] == -8
    assert numbers["losses"][0] == pytest.approx([4.1, 4.0, 4.1, None])
    assert numbers["diverged"] == [[False, False, False, True]] * 2
    assert numbers["between_rates"] == pytest.approx([-8, -8.4])
    assert "One rate serves all widths: at 2^-8" in printed
    assert (out / "learning_rates.svg").exists()
    assert (out / "learning_rates.png").exists()
    assert "One rate serves all widths" in (out / "learning_rates.html").read_text()
