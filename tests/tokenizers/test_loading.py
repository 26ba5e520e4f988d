"""Saved tokenizers come back bit by bit; what is missing or has changed is told."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

import toto_jax
from toto_jax.errors import CheckpointError, StorageError
from toto_jax.tokenizers.dvae import DVAE
from toto_jax.tokenizers.dvae_network import DVAEConfig
from toto_jax.tokenizers.frame_tokenizer import FrameTokenizer
from toto_jax.tokenizers.loading import SPEC_NAME, load_tokenizer, save_tokenizer
from toto_jax.tokenizers.weights_file import WEIGHTS_NAME
from toto_jax.tree import Params, named_leaves

CONFIG = DVAEConfig(codebook_size=32, width=8, decoder_stem=8, halvings=2, blocks=1)


@pytest.fixture
def params() -> Params:
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(DVAE(CONFIG).init, jax.random.key(0))
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(0, 0.3, leaf.shape), jnp.float32), shapes)


@pytest.fixture
def folder(tmp_path: pathlib.Path, params: Params) -> pathlib.Path:
    save_tokenizer(tmp_path / "tokenizer", DVAE(CONFIG), params)
    return tmp_path / "tokenizer"


def rewrite(folder: pathlib.Path, change: dict[str, np.ndarray | None]) -> None:
    """Replaces tensors of the saved weights, or drops those that are None."""
    tensors = safetensors.numpy.load_file(folder / WEIGHTS_NAME) | change
    kept = {name: array for name, array in tensors.items() if array is not None}
    safetensors.numpy.save_file(kept, folder / WEIGHTS_NAME)


def test_a_round_trip_is_bitwise(folder: pathlib.Path, params: Params) -> None:
    saved = FrameTokenizer(DVAE(CONFIG), params)
    loaded = load_tokenizer(str(folder))
    assert loaded.spec == saved.spec
    stored = safetensors.numpy.load_file(folder / WEIGHTS_NAME)
    assert stored.keys() == named_leaves(params).keys()
    assert all(np.array_equal(stored[name], leaf) for name, leaf in named_leaves(params).items())
    video = np.random.default_rng(1).integers(0, 256, (1, 2, 16, 16, 3), dtype=np.uint8)
    codes = saved.encode(video)
    np.testing.assert_array_equal(loaded.encode(video), codes)
    np.testing.assert_array_equal(loaded.decode(codes), saved.decode(codes))


def test_transposed_weights_are_saved_with_their_own_values(tmp_path: pathlib.Path, params: Params) -> None:
    """safetensors would write the bytes of an array that isn't contiguous in another order."""
    kernel = np.asarray(params["encoder"]["output"]["kernel"])
    params["encoder"]["output"]["kernel"] = np.ascontiguousarray(kernel.T).T
    save_tokenizer(tmp_path, DVAE(CONFIG), params)
    stored = safetensors.numpy.load_file(tmp_path / WEIGHTS_NAME)
    np.testing.assert_array_equal(stored["encoder/output/kernel"], kernel)
    load_tokenizer(tmp_path)


def test_saving_again_replaces_and_leaves_nothing_behind(folder: pathlib.Path, params: Params) -> None:
    first = load_tokenizer(folder).spec
    other = jax.tree.map(lambda x: x + 1, params)
    second = save_tokenizer(folder, DVAE(CONFIG), other)
    assert second.content_hash != first.content_hash
    assert load_tokenizer(folder).spec == second
    assert {path.name for path in folder.iterdir()} == {SPEC_NAME, WEIGHTS_NAME}


def test_an_interrupted_save_leaves_no_tokenizer(
    folder: pathlib.Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one with the old spec and the new weights."""
    replace = pathlib.Path.replace

    def stop_at_spec(self: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
        if target.name == SPEC_NAME:
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(pathlib.Path, "replace", stop_at_spec)
    with pytest.raises(StorageError, match="No space left"):
        save_tokenizer(folder, DVAE(CONFIG), jax.tree.map(lambda x: x + 1, params))
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="has no spec.json"):
        load_tokenizer(folder)


def test_what_is_missing_comes_with_what_to_run(tmp_path: pathlib.Path, folder: pathlib.Path) -> None:
    with pytest.raises(CheckpointError, match=r"no folder .*main --config=configs/tokenizers/dvae.py"):
        load_tokenizer(tmp_path / "nowhere")
    (folder / WEIGHTS_NAME).unlink()
    with pytest.raises(CheckpointError, match="weights.safetensors is missing"):
        load_tokenizer(folder)


@pytest.mark.parametrize("name", ["encoder/input/bias", "decoder/group_2_block_1/conv_3/kernel"])
def test_one_changed_weight_is_noticed(folder: pathlib.Path, name: str) -> None:
    array = safetensors.numpy.load_file(folder / WEIGHTS_NAME)[name].copy()
    array.reshape(-1)[0] += 1e-3
    rewrite(folder, {name: array})
    with pytest.raises(CheckpointError, match="changed since it was saved: content_hash"):
        load_tokenizer(folder)


def test_a_spec_that_does_not_fit_its_own_architecture_is_noticed(folder: pathlib.Path) -> None:
    values = json.loads((folder / SPEC_NAME).read_text())
    (folder / SPEC_NAME).write_text(json.dumps(values | {"downsampling": 8}))
    with pytest.raises(CheckpointError, match="changed since it was saved: downsampling"):
        load_tokenizer(folder)


@pytest.mark.parametrize("kept", [0, 4, 1000, -1])
def test_a_file_cut_short_is_noticed(folder: pathlib.Path, kept: int) -> None:
    path = folder / WEIGHTS_NAME
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="damaged or cut short"):
        load_tokenizer(folder)


def test_all_wrong_tensors_are_listed(folder: pathlib.Path) -> None:
    rewrite(
        folder,
        {
            "encoder/input/bias": None,
            "extra": np.zeros(2, np.float32),
            "decoder/input/bias": np.zeros(5, np.float32),
            "decoder/output/bias": np.zeros(6, np.float64),
        },
    )
    with pytest.raises(CheckpointError) as error:
        load_tokenizer(folder)
    for line in (
        "encoder/input/bias: missing instead of float32 (8,)",
        "extra: float32 (2,) instead of nothing",
        "decoder/input/bias: float32 (5,) instead of float32 (8,)",
        "decoder/output/bias: float64 (6,) instead of float32 (6,)",
    ):
        assert line in str(error.value)


def test_parameters_of_another_network_are_not_saved(tmp_path: pathlib.Path, params: Params) -> None:
    wider = DVAEConfig(codebook_size=32, width=16, decoder_stem=8, halvings=2, blocks=1)
    with pytest.raises(CheckpointError, match="encoder/input/bias"):
        save_tokenizer(tmp_path / "tokenizer", DVAE(wider), params)
    assert not (tmp_path / "tokenizer").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "dvea"}, "did you mean 'dvae'"),
        (
            {"architecture": {"depth": 3}},
            "describes no dvae that .* lack codebook_size",
        ),
        (
            {
                "architecture": {
                    "codebook_size": 32,
                    "width": 9,
                    "decoder_stem": 8,
                    "halvings": 2,
                    "blocks": 1,
                }
            },
            "width=9",
        ),
        ({"surprise": 1}, "can't be read"),
    ],
)
def test_unknown_specs_are_refused(folder: pathlib.Path, change: dict[str, object], message: str) -> None:
    values = json.loads((folder / SPEC_NAME).read_text())
    (folder / SPEC_NAME).write_text(json.dumps(values | change))
    with pytest.raises(CheckpointError, match=message):
        load_tokenizer(folder)


def test_a_spec_that_is_no_json_is_refused(folder: pathlib.Path) -> None:
    (folder / SPEC_NAME).write_text("{")
    with pytest.raises(CheckpointError, match="can't be read"):
        load_tokenizer(folder)


def test_the_package_exports_the_loader() -> None:
    assert toto_jax.load_tokenizer is load_tokenizer
    assert "load_tokenizer" in dir(toto_jax)
    with pytest.raises(AttributeError, match="load_tokeniser"):
        _ = toto_jax.load_tokeniser
