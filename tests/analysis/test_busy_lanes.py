"""Pictures of traces: lanes as they were written, shares by hand, and files that are none."""

import json
import pathlib
import time

import pytest

from tests.processes import end, run, start
from toto_jax.analysis.busy_lanes import draw_lanes, read_lanes, share
from toto_jax.data.timeline import Timeline
from toto_jax.errors import ConfigError, DataError


def test_lanes_come_back_as_they_were_measured(tmp_path: pathlib.Path) -> None:
    timeline = Timeline(keep=True)
    for lane in ("encode", "decode 0", "encode"):
        with timeline.span(lane, "something"):
            time.sleep(0.02)
    timeline.write(tmp_path / "trace.json")
    lanes = read_lanes(tmp_path / "trace.json")
    assert list(lanes) == ["decode 0", "encode"]
    ((first, length), (second, _)) = lanes["encode"]
    assert 0.02 <= length < 1
    assert first + length <= lanes["decode 0"][0][0] < second


def test_shares_by_hand() -> None:
    """Of 4 s from second 1 on: half a second of the first span, all of the second, one second of the last."""
    assert share([(0.5, 1.0), (2.0, 0.5), (4.0, 9.0)], 1.0, 5.0) == pytest.approx((0.5 + 0.5 + 1.0) / 4)
    assert share([], 0.0, 1.0) == 0


def test_a_picture_names_lanes_with_their_shares_and_draws_every_span() -> None:
    lanes = {"decode 0": [(0.0, 1.0), (2.0, 1.0)], "encode": [(1.0, 3.0)]}
    svg = draw_lanes(lanes, 0.0, 4.0, "svg").decode()
    assert "decode 0, 50%" in svg
    assert "encode, 75%" in svg
    for colour in ("#0072b2", "#d55e00"):
        assert colour in svg
    assert draw_lanes(lanes, 0.0, 4.0, "svg").decode() == svg
    assert draw_lanes(lanes, 0.0, 4.0, "png")[:4] == b"\x89PNG"


@pytest.mark.parametrize("text", ["", "[]", '{"traceEvents": [{"ph": "X"}]}', '{"traceEvents": []}'])
def test_what_is_no_trace_is_told(tmp_path: pathlib.Path, text: str) -> None:
    (tmp_path / "trace.json").write_text(text)
    with pytest.raises(DataError, match=r"trace\.json"):
        read_lanes(tmp_path / "trace.json")


def test_the_command(tmp_path: pathlib.Path) -> None:
    spans = [{"ph": "X", "name": "clips", "ts": 1e6 * at, "dur": 5e5, "pid": 0, "tid": 0} for at in range(4)]
    events = [{"ph": "M", "name": "thread_name", "pid": 0, "tid": 0, "args": {"name": "encode"}}, *spans]
    (tmp_path / "trace.json").write_text(json.dumps({"traceEvents": events}))
    out = tmp_path / "overlap.svg"
    said = run("analysis.overlap", str(tmp_path / "trace.json"), f"--out={out}", "--start=1", "--seconds=2")
    assert "encode: busy 50% of 2.0 s" in said
    assert "<svg" in out.read_text()
    late = start("analysis.overlap", str(tmp_path / "trace.json"), f"--out={out}", "--start=9")
    assert "behind the trace's end at 3.5 s" in end(late, ConfigError.exit_code)
