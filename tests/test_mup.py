"""muP through the whole house: config, mesh, training, checkpoint, loading, fine-tune, export."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

import toto_jax
from configs import quickstart
from toto_jax.config import from_json
from toto_jax.errors import CheckpointError, ConfigError
from toto_jax.experiment import build
from toto_jax.interop.hf_llama import from_hugging_face, to_hugging_face
from toto_jax.models.llama import Llama, LlamaConfig
from toto_jax.stages import run
from toto_jax.starting_point import find_starting_point
from toto_jax.training.checkpoint import read_metadata
from toto_jax.tree import named_leaves


def wide(finished: pathlib.Path, **changes: object) -> ConfigDict:
    """The tiny run's data and sizes, by muP from half its width."""
    c = from_json((finished / "config.json").read_text()).unlock()
    flat = {
        "data.shards": str(finished / "shards"), "tokenizer.path": str(finished / "tokenizer"), "data.media": "",
        "tokenizer.training": None, "train.steps": 3, "train.batch_size": 8, "optimizer.learning_rate": 0.02,
        "mup.enabled": True, "mup.base.d_model": 16, "mup.base.head_dim": 4, "mup.base.d_ff": 32, "mup.base.layers": 1,
        "mup.output_multiplier": 4.0, "mesh.fsdp": 4, "mesh.tensor": 2, "report": False, "evals": ConfigDict(),
    }  # fmt: skip
    c.update_from_flattened_dict({**flat, **changes})
    return c.lock()


@pytest.fixture(scope="module")
def trained(
    finished: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[pathlib.Path, list[str]]:
    workdir, said = tmp_path_factory.mktemp("mup"), []
    run(wide(finished), workdir, said.append)
    return workdir, said


def test_the_table_is_printed_and_kept_with_the_checkpoint(trained: tuple[pathlib.Path, list[str]]) -> None:
    workdir, said = trained
    kept = read_metadata(workdir / "checkpoints" / "3")["scales"]
    (printed,) = [text for text in said if "factors by muP" in text]
    assert [line.strip() for line in printed.splitlines()[1:]] == kept
    rows = {line.split()[0]: line.split()[1:] for line in kept}
    assert rows["head"] == ["output", "0", "1", "1", "2", "0.5"]
    assert rows["layers/mlp/down"] == ["residual", "0.7071", "0.5", "2", "0.5", "0.25"]


def test_eight_devices_train_as_one(trained: tuple[pathlib.Path, list[str]], finished: pathlib.Path) -> None:
    workdir, _ = trained
    alone = workdir.with_name("alone")
    run(
        wide(finished, **{"mesh.fsdp": 1, "mesh.tensor": 1, "mesh.data": 1, "mesh.slices": 8}),
        alone,
        lambda _: None,
    )
    got, want = (named_leaves(toto_jax.from_pretrained(path).params) for path in (workdir, alone))
    for name, leaf in want.items():
        # Adam divides by the gradient's size: where that is nearly 0, rounding decides the sign of a step.
        off = np.quantile(np.abs(got[name] - leaf), 0.999)
        assert off < 2e-3 * np.abs(leaf).max(), name
    assert np.abs(got["head"]).max() > 0.01, "the head has left zero"


def test_an_export_is_an_ordinary_llama(trained: tuple[pathlib.Path, list[str]]) -> None:
    """Its tensors, read by the importer into a decoder without muP, give the run's own logits."""
    toto = toto_jax.from_pretrained(trained[0], dtype="float32")
    ids = np.arange(36).reshape(2, 18) % 30 + 4
    wanted = toto.logits(ids)
    settings, tensors = to_hugging_face(toto.decoder.config, toto.decoder.folded(toto.params), 64)
    keys, params = from_hugging_face(settings, tensors)
    fields = {**vars(toto.decoder.config), **keys}
    plain = Llama(LlamaConfig(**fields), toto.decoder.vocabulary)
    got = plain.apply(jax.tree.map(jnp.asarray, params), ids).logits_BTV
    np.testing.assert_allclose(got, wanted, atol=2e-5 * np.abs(wanted).max())
    unfolded = plain.apply(toto.params, ids).logits_BTV
    assert np.abs(unfolded - wanted).max() > 0.1 * np.abs(wanted).max()


def test_parameters_of_another_parametrisation_are_no_start(
    trained: tuple[pathlib.Path, list[str]], finished: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    start = {"init_from": str(trained[0])}
    assert find_starting_point(build(wide(finished, **start), tmp_path)) is not None
    for changes, line in (
        ({"mup.enabled": False}, "mup.enabled: True -> False"),
        ({"mup.base.d_model": 32}, "mup.base.d_model: 16 -> 32"),
    ):
        with pytest.raises(CheckpointError, match=f"another parametrisation(.|\n)*{line}"):
            find_starting_point(build(wide(finished, **start, **changes), tmp_path))


def test_patches_scale_as_well(tmp_path: pathlib.Path) -> None:
    c = quickstart.get_config()
    c.task, c.tokenizer.kind, c.patches.side = "patch_to_patch", "pixels", 4
    c.evals = ConfigDict()
    c.mup.enabled, c.mup.base.d_model, c.mup.input_multiplier = True, 32, 2.0
    scales = named_leaves(build(c, tmp_path, jax.devices()[:1]).trainer.scales)
    assert (scales["patch_embedding"].kind, scales["patch_embedding"].forward) == ("input", 2.0)
    assert (scales["head"].kind, scales["head"].forward, scales["head"].init) == ("output", 0.25, 0.0)
    assert scales["patch_bias"].kind == "vector"
    c.mup.base.d_model = 256
    with pytest.raises(ConfigError, match=r"base\.d_model=256 is larger than config\.model\.d_model=128"):
        build(c, tmp_path, jax.devices()[:1])
