"""A fine-tune: the parameters of a finished run at another grid, rotary base and mesh."""

import dataclasses
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

import toto_jax
from configs import finetune_32
from toto_jax.config import to_json
from toto_jax.errors import CheckpointError, ConfigError, DataError
from toto_jax.evaluation.record import read_results
from toto_jax.experiment import build
from toto_jax.settings import parse
from toto_jax.stages import claim_workdir, prepare, run
from toto_jax.starting_point import find_starting_point
from toto_jax.tokenizers.base import TokenizerSpec
from toto_jax.tokenizers.kinds import build_network
from toto_jax.tokenizers.loading import load_tokenizer, save_tokenizer
from toto_jax.training.checkpoint import CheckpointConfig, Checkpoints, list_steps, read_metadata
from toto_jax.training.metrics import read_metrics
from toto_jax.tree import named_leaves


def tiny(before: pathlib.Path, **changes: object) -> ConfigDict:
    """The small fine-tune at the size of the run in `before`: 4 frames of 4 x 4 codes there, 1 frame of 8 x 8 here."""
    c = finetune_32.get_config("small")
    c.init_from = str(before)
    flat = {
        "data.mixture": {"media": 1}, "tokenizer.path": str(before / "tokenizer"), "tokenizer.width": 8,
        "tokenizer.codebook_size": 32, "clips.size": 32, "clips.frames": 1, "clips.synthetic_clips": 60,
        "clips.files_per_shard": 16, "model.layers": 2, "model.d_model": 32, "model.head_dim": 8, "model.d_ff": 64,
        "model.scan_unroll": 2, "train.steps": 4, "train.log_every": 1, "optimizer.warmup_steps": 1,
        "checkpoint.every": 2, "mesh.fsdp": 4, "mesh.tensor": 2, "report": False,
    }  # fmt: skip
    c.update_from_flattened_dict({**flat, **changes})
    c.evals = ConfigDict({"validation_loss": {**c.evals.validation_loss, "every": 0, "batch_size": 8}})
    return c


def test_parameters_are_those_of_the_other_run_on_another_mesh(
    finished: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    experiment = build(tiny(finished, **{"optimizer.ema": 0.9}), tmp_path)
    point = find_starting_point(experiment)
    assert point.checkpoint == finished / "checkpoints" / "12"
    wanted = toto_jax.from_pretrained(finished).params
    read = point.read()
    for name, leaf in named_leaves(read).items():
        assert leaf.sharding == named_leaves(experiment.trainer.state_shardings.params)[name], name
    assert any(len(leaf.sharding.device_set) == 8 for leaf in jax.tree.leaves(read))
    state = experiment.trainer.init(read)
    for params in (state.params, state.ema):
        jax.tree.map(np.testing.assert_array_equal, params, wanted)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves((state.opt_state, state.step)))
    tokenizer = {"tokenizer.path": str(finished / "tokenizer")}
    one = build(tiny(finished / "checkpoints" / "9", **tokenizer), tmp_path)
    assert find_starting_point(one).checkpoint.name == "9", "a checkpoint may be named as well"


def test_the_average_is_taken_where_one_is_kept(finished: pathlib.Path, tmp_path: pathlib.Path) -> None:
    config = tiny(finished, **{"optimizer.ema": 0.5})
    trainer = build(config, tmp_path).trainer
    state = trainer.init()
    state = dataclasses.replace(state, ema=jax.tree.map(lambda leaf: leaf + 1, state.params))
    kept = Checkpoints(
        tmp_path / "kept" / "checkpoints", CheckpointConfig(1, 1, 0), {"config": config.to_dict()}
    )
    kept.save(3, state)
    kept.close()
    point = find_starting_point(build(tiny(tmp_path / "kept"), tmp_path / "new"))
    assert point.averaged
    jax.tree.map(np.testing.assert_array_equal, point.read(), state.ema)


def test_a_fine_tune_runs_to_its_end_and_goes_on_without_the_run_before(
    finished: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """With clips of both grids: those of the first run, 4 x 4 x 4 codes, are trained on and left out of evaluations.

    At a learning rate of next to nothing, what it ends with is what it started with.
    """
    before, workdir = tmp_path / "before", tmp_path / "after"
    shutil.copytree(finished, before)
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "low").symlink_to(finished / "shards" / "media")
    config = tiny(before, **{"data.shards": str(tmp_path / "shards"), "data.media": "synthetic"})
    prepare(parse(config), workdir, lambda line: None)  # which writes the shards of this grid
    config.data.mixture = ConfigDict({"media": 1, "low": 1})
    config.data.other_shapes = ("low",)
    config.tokenizer.path = str(finished / "tokenizer")
    config.optimizer.learning_rate = 1e-30
    said = []
    experiment = run(config, workdir, said.append)
    assert f"Starting with the parameters of {before / 'checkpoints' / '12'}" in said
    assert any("Left out of evaluations" in line and "low" in line for line in said)
    shapes = {name: manifest.shape for name, manifest in experiment.pipeline.manifests.items()}
    assert shapes == {"media": (1, 8, 8), "low": (4, 4, 4)}
    assert list(experiment.evaluators["validation_loss"]._context.splits) == ["media"]
    assert "loss" in read_results(workdir)["validation_loss"].numbers
    assert json.loads((workdir / "config.json").read_text())["init_from"] == str(before)
    assert json.loads((workdir / "summary.json").read_text())["started_from"].endswith("checkpoints/12")
    models = [
        toto_jax.from_pretrained(path, tokenizer=finished / "tokenizer") for path in (finished, workdir)
    ]
    jax.tree.map(np.testing.assert_array_equal, *(model.params for model in models))
    first = {line["step"]: line["loss"] for line in read_metrics(workdir) if line["kind"] == "train"}

    shutil.rmtree(before)
    shutil.rmtree(workdir / "checkpoints" / "4")
    said.clear()
    run(config, workdir, said.append)
    assert "Going on from step 2" in said
    assert not any("Starting with" in line for line in said)
    assert first == {line["step"]: line["loss"] for line in read_metrics(workdir) if line["kind"] == "train"}
    assert list_steps(workdir / "checkpoints") == [2, 4]


def test_parameters_of_another_shape_are_named_with_both_configs_values(
    finished: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(CheckpointError) as caught:
        run(tiny(finished, **{"model.d_ff": 96, "model.rope_base": 7.0}), tmp_path / "new")
    text = str(caught.value)
    assert "params: layers/" in text
    assert "has shape (2, 32, 64), this config's has (2, 32, 96)" in text
    assert "model.d_ff: 64 -> 96" in text
    assert not (tmp_path / "new").exists(), "the workdir is free for the config that is meant"


def test_codes_of_another_tokenizer_are_refused_before_shards_are_written(
    finished: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    tokenizer = load_tokenizer(finished / "tokenizer")
    network = build_network("dvae", tokenizer.spec.architecture)
    other = save_tokenizer(tmp_path / "other", network, network.init(jax.random.key(9)))
    config = tiny(finished, **{"tokenizer.path": str(tmp_path / "other")})
    wanted = (
        f"codes of the tokenizer dvae {tokenizer.spec.content_hash[:12]}.* of dvae {other.content_hash[:12]}"
    )
    with pytest.raises(DataError, match=wanted):
        run(config, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    # Shards may come without a tokenizer beside them: what they say counts as well.
    point = find_starting_point(build(tiny(finished), tmp_path / "new"))
    point.check_tokenizer(tokenizer.spec)
    with pytest.raises(DataError, match="of vqgan bbbbbbbbbbbb: the same numbers mean different pictures"):
        point.check_tokenizer(TokenizerSpec("vqgan", 32, 4, {}, "b" * 64))
    metadata = read_metadata(point.checkpoint)
    assert metadata["tokenizer"]["content_hash"] == tokenizer.spec.content_hash


def test_a_start_that_can_not_be_is_explained(finished: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for path, message in (
        (tmp_path / "nowhere", "neither a workdir with checkpoints nor a checkpoint folder"),
        (finished / "checkpoints" / "5", "5 is not a complete checkpoint"),
        (finished / "tokenizer_run", "is a run of the task 'tokenizer', this one is of 'next_token'"),
    ):
        config = tiny(finished)
        config.init_from = str(path)
        with pytest.raises(CheckpointError, match=message):
            run(config, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_workdir_keeps_its_start(finished: pathlib.Path, tmp_path: pathlib.Path) -> None:
    claim_workdir(tiny(finished), tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()) == json.loads(to_json(tiny(finished)))
    config = tiny(finished)
    config.init_from = ""
    with pytest.raises(ConfigError, match="init_from: .* -> ''"):
        claim_workdir(config, tmp_path)
