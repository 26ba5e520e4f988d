import json
import pathlib

import numpy as np
import pytest

from toto_jax.training.metrics import (
    MetricWriter,
    RunningMeans,
    console_line,
    duration,
    rate_text,
    read_metrics,
)


def test_means_are_sums_over_counts() -> None:
    means = RunningMeans()
    assert means.add({"loss": (np.float32(6), np.float32(3))}) == {"loss": 2.0}
    means.add({"loss": (np.float32(2), np.float32(1))})
    assert means.take() == {"loss": 2.0}
    means.add({"loss": (np.float32(9), np.float32(1))})
    assert means.take() == {"loss": 9.0}


def test_a_resumed_run_drops_what_was_written_after_its_checkpoint(tmp_path: pathlib.Path) -> None:
    first = MetricWriter(tmp_path, 0)
    for step in (1, 2, 3):
        first.write(step, "train", {"loss": float(step)})
    first.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')  # cut short by a kill
    second = MetricWriter(tmp_path, 2)
    second.write(3, "train", {"loss": 30.0})
    second.close()
    assert [(line["step"], line["loss"]) for line in read_metrics(tmp_path)] == [
        (1, 1.0),
        (2, 2.0),
        (3, 30.0),
    ]
    for line in (tmp_path / "metrics.jsonl").read_text().splitlines():
        json.loads(line)


def test_training_lines_say_what_else_follows_from_their_step(tmp_path: pathlib.Path) -> None:
    writer = MetricWriter(tmp_path, 0, lambda step: {"epochs/films": step / 4})
    writer.write(6, "train", {"loss": 1.0})
    writer.write(6, "validation", {"loss": 2.0})
    writer.close()
    lines = read_metrics(tmp_path)
    assert [line.get("epochs/films") for line in lines] == [1.5, None]


def test_tensorboard_reads_what_was_written_without_tensorflow(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("tensorboardX")
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    writer = MetricWriter(tmp_path, 0)
    writer.write(7, "train", {"loss": 1.5})
    writer.close()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    (scalar,) = events.Scalars("train/loss")
    assert (scalar.step, scalar.value) == (7, 1.5)


@pytest.mark.parametrize(
    ("seconds", "text"), [(4, "0:04"), (184, "3:04"), (7_384, "2:03:04"), (93_784, "1d 02:03"), (-1, "0:00")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("rate", "text"), [(850.4, "850"), (12_345, "12.3k"), (4_560_000, "4.56M")])
def test_rates(rate: float, text: str) -> None:
    assert rate_text(rate) == text


def test_the_console_line_says_where_we_are() -> None:
    values = {"loss": 3.21456, "learning_rate": 3e-4, "grad_norm": 0.5, "bad_steps": 0}
    line = console_line(50, 1000, values, "tokens", 12_345, 184)
    assert line == "step   50/1000  loss 3.215  lr 3.00e-04  grad 0.5  12.3k tokens/s  3:04 left"
    assert "SKIPPED 2 non-finite" in console_line(50, 1000, {**values, "bad_steps": 2}, "tokens", 1, 1)
