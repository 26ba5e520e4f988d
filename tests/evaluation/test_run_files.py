import json

import numpy as np
import pytest

from toto_jax.errors import DataError
from toto_jax.evaluation.record import write_results
from toto_jax.evaluation.run_files import read_run


def write_log(workdir, *lines):
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_an_empty_folder_is_a_run_that_has_not_started(tmp_path):
    run = read_run(tmp_path)
    assert run.name == tmp_path.name
    assert run.step is None
    assert run.setting("model.layers") is None
    assert run.evaluators() == []


def test_settings_by_dotted_key(tmp_path):
    (tmp_path / "config.json").write_text('{"name": "small", "model": {"layers": 6}, "seed": 0}')
    run = read_run(tmp_path)
    assert (run.name, run.setting("model.layers"), run.setting("seed")) == ("small", 6, 0)
    assert run.setting("model.depth") is None
    assert run.setting("seed.of.what") is None


def test_log_is_that_of_training_and_finite(tmp_path):
    write_log(
        tmp_path,
        {"step": 10, "kind": "train", "loss": 5.0, "note": "x"},
        {"step": 10, "kind": "validation", "loss": 9.0},
        {"step": 20, "kind": "train", "loss": float("nan")},
        {"step": 30, "kind": "train", "loss": 4.0, "late": 1},
    )
    run = read_run(tmp_path)
    steps, values = run.logged("loss")
    np.testing.assert_array_equal(steps, [10, 30])
    np.testing.assert_array_equal(values, [5, 4])
    assert run.logged("late")[0].tolist() == [30]
    assert run.logged("note")[0].tolist() == []
    assert run.step == 30


def test_known_evaluators_come_first_and_in_the_report_s_order(tmp_path):
    entries = {"zebra": "probes", "aardvark": "somebody's own", "middle": "validation_loss"}
    evals = {name: {"type": kind, "every": 0} for name, kind in entries.items()}
    (tmp_path / "config.json").write_text(json.dumps({"evals": evals}))
    write_log(tmp_path, {"step": 30, "kind": "train", "loss": 5.0})
    write_results(tmp_path, "by_hand", 40, [("number", 1.0)])
    run = read_run(tmp_path)
    assert run.evaluators() == ["middle", "zebra", "aardvark", "by_hand"]
    assert run.kind("zebra") == "probes"
    assert run.kind("by_hand") == "by_hand"
    assert run.step == 40


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_broken_config_is_named(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(DataError, match=r"config\.json"):
        read_run(tmp_path)
