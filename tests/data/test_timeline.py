import json
import pathlib
import time

from toto_jax.data.timeline import Timeline


def test_shares_are_of_the_lanes_that_begin_so() -> None:
    timeline = Timeline(keep=False)
    with timeline.span("decode 0", "a"):
        with timeline.span("encode", "batch"):
            time.sleep(0.05)
        time.sleep(0.05)
    with timeline.span("decode 1", "b"):
        pass
    assert 0.4 < timeline.busy("decode 0") <= 1
    assert (
        0.4 < timeline.busy("decode") / timeline.busy("encode") < 1.6
    )  # the mean of 0.1 s and nothing, to 0.05 s
    assert timeline.busy("write") == 0


def test_the_trace_holds_each_span_in_its_lane(tmp_path: pathlib.Path) -> None:
    timeline = Timeline(keep=True)
    for lane, what in (("encode", "first"), ("decode 0", "a.mp4"), ("encode", "second")):
        with timeline.span(lane, what):
            time.sleep(0.002)
    timeline.write(tmp_path / "deep" / "trace.json")
    events = json.loads((tmp_path / "deep" / "trace.json").read_text())["traceEvents"]
    lanes = {event["tid"]: event["args"]["name"] for event in events if event["ph"] == "M"}
    spans = [event for event in events if event["ph"] == "X"]
    assert [(lanes[span["tid"]], span["name"]) for span in spans] == [
        ("encode", "first"),
        ("decode 0", "a.mp4"),
        ("encode", "second"),
    ]
    assert all(span["dur"] >= 2000 for span in spans)
    assert [span["ts"] for span in spans] == sorted(span["ts"] for span in spans)
