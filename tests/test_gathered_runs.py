"""Runs read back from workdirs that the test wrote."""

import json
import pathlib

import numpy as np
import pytest

from tests.analysis.sweeps import BATCH, TOKENS, macs, write_run
from toto_jax.errors import ConfigError
from toto_jax.evaluation.record import write_results
from toto_jax.gathered_runs import gather


def test_a_run_as_it_was_written(tmp_path: pathlib.Path) -> None:
    write_run(tmp_path / "run", 32, 2, {50: 4.0, 100: 3.0}, {50: 4.5, 100: 3.5}, 100)
    (run,), left_out = gather([str(tmp_path / "run")])
    assert not left_out
    assert (run.name, run.layers, run.width, run.batch_size, run.tokens) == ("run", 2, 32, BATCH, TOKENS)
    assert run.macs == macs(32, 2)
    # Matrices, two embeddings of 64 ids, and the gains of two norms a block and of the last one.
    assert run.parameters == 2 * 16 * 32**2 + 2 * 64 * 32 + 5 * 32
    assert run.held_out
    assert run.finished
    assert not run.diverged
    assert dict(zip(run.step_P.tolist(), run.loss_P.tolist(), strict=True)) == {50: 4.5, 100: 3.5}
    assert run.train_loss_S.tolist() == [4.0, 3.0], "of codes alone, as held-out losses are"


def test_a_run_that_main_has_trained(finished: pathlib.Path) -> None:
    """12 steps, evaluated at 6 and 12; 4 frames of 4 x 4 codes after a start token."""
    (run,), left_out = gather([str(finished)])
    assert not left_out
    assert (run.step_P.tolist(), run.held_out, run.finished, run.diverged) == ([6, 12], True, True, False)
    assert run.train_step_S.tolist() == list(range(1, 13))
    assert run.tokens == 65


def test_a_sweep_is_its_runs_and_not_their_tokenizers(tmp_path: pathlib.Path) -> None:
    for width in (64, 32):
        write_run(tmp_path / "members" / f"w{width}", width, 1, {10: 4.0}, {}, 10)
    write_run(tmp_path / "members" / "w32" / "tokenizer_run", 16, 1, {10: 1.0}, {}, 10)
    runs, _ = gather([str(tmp_path), str(tmp_path / "members" / "w64")])
    assert [run.name for run in runs] == ["w32", "w64"], "each once, in order of size"
    assert not runs[0].held_out
    assert runs[0].loss_P.tolist() == [4.0]
    write_run(tmp_path / "other" / "w32", 32, 1, {10: 4.0}, {}, 10)
    assert len({run.name for run in gather([str(tmp_path)])[0]}) == 3, "names that come twice become paths"


def test_a_rate_is_one_of_its_base(tmp_path: pathlib.Path) -> None:
    """Runs whose learning rates don't compare are told apart by their recipes."""
    mup = {"mup.enabled": True, "mup.base.d_model": 16, "mup.base.layers": 1}
    for name, changes in {"standard": {}, "mup": mup, "other": {**mup, "mup.base.d_model": 8}}.items():
        write_run(tmp_path / name, 32, 1, {10: 4.0}, {}, 10, **changes)
    recipes = {run.name: run.recipe for run in gather([str(tmp_path)])[0]}
    assert recipes["standard"] == f"10 steps of {BATCH} clips"
    assert recipes["mup"] == f"10 steps of {BATCH} clips under muP with a base of d_model 16, layers 1"
    assert len(set(recipes.values())) == 3


def test_what_is_of_no_use_is_named(tmp_path: pathlib.Path) -> None:
    write_run(tmp_path / "good", 32, 1, {10: 4.0}, {}, 10)
    write_run(tmp_path / "tuned", 32, 1, {10: 4.0}, {}, 10, init_from="runs/before")
    write_run(tmp_path / "tokenizer", 32, 1, {10: 4.0}, {}, 10, task="tokenizer")
    for name, text in (("broken", "{"), ("list", "[]"), ("foreign", json.dumps({"model": {}}))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(text)
    runs, left_out = gather([str(tmp_path)])
    assert [run.name for run in runs] == ["good"]
    assert set(left_out) == {"broken", "foreign", "list", "tokenizer", "tuned"}
    assert "its task is 'tokenizer'" in left_out["tokenizer"]
    assert "the parameters of runs/before" in left_out["tuned"]
    assert "config lacks" in left_out["foreign"]


@pytest.mark.parametrize(
    "line",
    [
        {"kind": "diverged", "step": 7, "bad_steps_in_a_row": 10},
        {"kind": "train", "step": 10, "loss": float("nan")},
    ],
)
def test_a_diverged_run_is_known_by_the_end_of_its_log(tmp_path: pathlib.Path, line: dict) -> None:
    write_run(tmp_path / "run", 32, 1, {5: 4.0}, {}, 10)
    with (tmp_path / "run" / "metrics.jsonl").open("a") as log:
        log.write(json.dumps(line) + "\n" + '{"kind": "train", "st')
    (run,), _ = gather([str(tmp_path)])
    assert run.diverged
    assert not run.finished
    assert run.loss_P.tolist() == [4.0]


def test_sources_of_clips_are_averaged(tmp_path: pathlib.Path) -> None:
    write_run(tmp_path / "run", 32, 1, {10: 4.0}, {}, 10)
    for step, cats in ((5, 5.0), (10, 3.0)):
        numbers = {"cats_loss": cats, "cats_unigram_loss": 9.0, "dogs_loss": 2.0, "dogs_unigram_loss": 9.0}
        write_results(tmp_path / "run", "validation_loss", step, numbers.items())
    (run,), _ = gather([str(tmp_path)])
    np.testing.assert_array_equal(run.loss_P, [3.5, 2.5])


def test_words_that_name_no_run_are_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match="Name workdirs"):
        gather([])
    with pytest.raises(ConfigError, match="holds no run: there is no config.json"):
        gather([str(tmp_path)])
