import json

import numpy as np
import pytest

from toto_jax.evaluation import training_curves as module
from toto_jax.evaluation.record import write_results
from toto_jax.evaluation.run_files import read_run
from toto_jax.evaluation.training_curves import training_curves

pytest.importorskip("matplotlib")


def write_log(workdir, lines):
    (workdir / "metrics.jsonl").write_text(
        "".join(json.dumps({"kind": "train", **line}) + "\n" for line in lines)
    )


@pytest.fixture
def plotted(monkeypatch):
    """The curves that are plotted, instead of their pictures."""
    curves = []
    monkeypatch.setattr(module, "plot", lambda curve, *size: curves.append(curve) or "")
    return curves


def test_losses_of_training_and_of_held_out_clips_share_their_axes(tmp_path, plotted):
    write_log(tmp_path, [{"step": step, "loss": 5.0, "code_loss": 4.0} for step in (10, 20, 30)])
    evals = {"held_out": {"type": "validation_loss", "every": 0}}
    (tmp_path / "config.json").write_text(json.dumps({"evals": evals}))
    for step, loss in ((15, 4.5), (30, 4.25)):
        numbers = {"loss": loss, "unigram_loss": 6.0, "first_frame_loss": 5.9}
        write_results(tmp_path, "held_out", step, numbers.items())
    training_curves(read_run(tmp_path))
    (curve,) = plotted
    np.testing.assert_array_equal(curve.x, [10, 15, 20, 30])
    # The loss of codes alone is what the held-out loss is made of.
    assert set(curve.series) == {"training", "held-out"}
    np.testing.assert_array_equal(curve.series["training"], [4, np.nan, 4, 4])
    np.testing.assert_array_equal(curve.series["held-out"], [np.nan, 4.5, np.nan, 4.25])


def test_each_source_of_clips_has_its_line(tmp_path, plotted):
    write_log(tmp_path, [{"step": 10, "loss": 5.0}])
    names = ("cats_loss", "cats_unigram_loss", "dogs_loss", "dogs_unigram_loss", "dogs_last_frame_loss")
    write_results(tmp_path, "validation_loss", 10, [(name, 1.0) for name in names])
    training_curves(read_run(tmp_path))
    assert set(plotted[0].series) == {
        "training",
        "held-out: validation_loss cats",
        "held-out: validation_loss dogs",
    }


def test_every_other_number_has_a_small_plot(tmp_path, plotted):
    write_log(
        tmp_path, [{"step": 10, "loss": 5.0, "kl": 2.0, "learning_rate": 1.0, "bad_steps": 0, "note": "x"}]
    )
    training_curves(read_run(tmp_path))
    assert [set(curve.series) for curve in plotted] == [{"training"}, {"kl"}, {"learning_rate"}]
    assert plotted[1].caption == "kl"
    assert "warm-up" in plotted[2].caption


def test_passes_over_all_sources_share_a_plot(tmp_path, plotted):
    write_log(
        tmp_path,
        [{"step": s, "kind": "train", "loss": 4.0, "epochs/a": s / 2, "epochs/b": s} for s in (2, 4)],
    )
    training_curves(read_run(tmp_path))
    assert [set(curve.series) for curve in plotted] == [{"training"}, {"a", "b"}]
    np.testing.assert_array_equal(plotted[1].series["a"], [1, 2])


def test_long_logs_are_thinned_to_means(tmp_path, plotted):
    values = np.random.default_rng(0).random(30_000)
    write_log(tmp_path, [{"step": step + 1, "loss": value} for step, value in enumerate(values)])
    training_curves(read_run(tmp_path))
    (curve,) = plotted
    assert len(curve.x) == 400
    assert curve.x[-1] == 30_000
    np.testing.assert_allclose(curve.series["training"], values.reshape(400, 75).mean(axis=1))


def test_short_logs_are_kept(tmp_path, plotted):
    write_log(tmp_path, [{"step": step, "loss": float(step)} for step in range(7)])
    training_curves(read_run(tmp_path))
    np.testing.assert_array_equal(plotted[0].series["training"], np.arange(7))


def test_skipped_steps_are_not_passed_over_in_silence(tmp_path):
    write_log(tmp_path, [{"step": 10, "loss": 5.0, "bad_steps": 4.0}])
    assert "4 steps were skipped" in training_curves(read_run(tmp_path))


def test_where_the_time_of_all_attempts_went(tmp_path, plotted):
    attempt = {"kind": "goodput", "step_seconds": 60.0, "data_seconds": 20.0}
    write_log(tmp_path, [{"step": 10, "loss": 5.0}, {**attempt, "step": 10}, {**attempt, "step": 20}])
    assert "Where 2:40 went: step 75.0% · data 25.0%." in training_curves(read_run(tmp_path))
    assert len(plotted) == 1


def test_without_a_log_there_is_the_command_that_makes_one(tmp_path):
    folder = tmp_path / "a run"
    folder.mkdir()
    assert f"--workdir=&#x27;{folder}&#x27;" in training_curves(read_run(folder))
