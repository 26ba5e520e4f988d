"""LLaMA folders as runs, without PyTorch; test_hf_run_reference.py reads what transformers wrote."""

import functools
import json
import pathlib
from typing import Any

import jax
import ml_collections
import numpy as np
import pytest
import safetensors.numpy

import toto_jax
from configs import quickstart
from tests.interop.test_import_weights import run
from toto_jax.config import to_json
from toto_jax.errors import CheckpointError, ConfigError
from toto_jax.experiment import build
from toto_jax.interop.hf_folder import CONFIG, INDEX, RUN, WEIGHTS, read_folder, write_folder
from toto_jax.interop.hf_llama import to_hugging_face
from toto_jax.interop.hf_run import Given, import_model
from toto_jax.models.llama import Llama, LlamaConfig
from toto_jax.tokenizers.dvae import DVAE
from toto_jax.tokenizers.dvae_network import DVAEConfig
from toto_jax.tokenizers.loading import save_tokenizer
from toto_jax.training.checkpoint import Checkpoints
from toto_jax.tree import Params

MODEL = LlamaConfig(
    layers=3, d_model=24, heads=4, kv_heads=2, head_dim=8, d_ff=40, rope_base=500.0,
    rope_grid=(), qk_norm=False, norm_eps=1e-5, init_std=0.1,
    tied_head=False, vocabulary_multiple=128, dtype="float32", attention="chunked", remat="none", scan_unroll=1,
)  # fmt: skip
TOKENIZER = DVAE(DVAEConfig(codebook_size=32, width=8, decoder_stem=8, halvings=2, blocks=1))
VOCABULARY, STEP = 128, 7  # 32 codes and 4 special ids, padded


@functools.cache
def params() -> Params:
    found = Llama(MODEL, VOCABULARY).init(jax.random.key(0))
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: np.asarray(x * rng.uniform(0.5, 1.5, x.shape), np.float32), found)


def write_tokenizer(folder: pathlib.Path, network: DVAE = TOKENIZER) -> pathlib.Path:
    """Saves a tokenizer of random parameters."""
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(network.init, jax.random.key(0))
    values = jax.tree.map(lambda leaf: rng.normal(0, 0.3, leaf.shape).astype(np.float32), shapes)
    save_tokenizer(folder, network, values)
    return folder


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write_tokenizer(tmp_path_factory.mktemp("saved") / "tokenizer")


def config() -> ml_collections.ConfigDict:
    c = quickstart.get_config()
    c.clips.size, c.clips.frames = 16, 4
    c.tokenizer.update(codebook_size=32, width=8, decoder_stem=8)
    c.model.update(
        layers=3,
        d_model=24,
        heads=4,
        kv_heads=2,
        head_dim=8,
        d_ff=40,
        rope_base=500.0,
        rope_grid=(),
        qk_norm=False,
        norm_eps=1e-5,
    )
    c.data.media, c.optimizer.ema = "/home/somebody/videos", 0.9
    return c


def foreign(
    folder: pathlib.Path, changes: dict[str, Any] | None = None, **tensors: np.ndarray
) -> pathlib.Path:
    """Writes a folder as others do; a change to None takes a key or a tensor away."""
    settings, found = to_hugging_face(MODEL, params(), context=65)
    settings, found = settings | (changes or {}), found | tensors
    folder.mkdir(parents=True)
    (folder / CONFIG).write_text(
        json.dumps({key: value for key, value in settings.items() if value is not None})
    )
    kept = {name: array for name, array in found.items() if array is not None}
    safetensors.numpy.save_file(kept, folder / WEIGHTS)
    return folder


GIVEN = Given(config(), frames=4, size=16)


def test_a_run_goes_out_and_comes_back_as_it_was(tmp_path: pathlib.Path, tokenizer: pathlib.Path) -> None:
    toto_jax.save_pretrained(tmp_path / "first", config(), params(), tokenizer, STEP)
    first = toto_jax.from_pretrained(tmp_path / "first")
    assert (first.step, first.config.to_dict()) == (STEP, json.loads(to_json(config())))
    settings, tensors = to_hugging_face(first.decoder.config, first.params, context=65)
    spec = first.tokenizer.spec
    write_folder(tmp_path / "out", settings, tensors, first.geometry, spec, first.config, STEP)
    assert "somebody" not in (tmp_path / "out" / RUN).read_text(), "paths of a machine are its owner's"

    done = run("hf-llama", str(tmp_path / "out"), f"--tokenizer={tokenizer}", f"--out={tmp_path / 'again'}")
    assert done.returncode == 0, done.stderr
    assert f"Step 7 of 'quickstart' in {tmp_path / 'again'}" in done.stdout
    again = toto_jax.from_pretrained(tmp_path / "again")
    jax.tree.map(np.testing.assert_array_equal, again.params, params())
    assert (again.step, again.geometry, again.tokenizer.spec) == (STEP, first.geometry, spec)
    assert again.decoder.config == first.decoder.config
    ids = first.tokens(np.random.default_rng(0).integers(0, 256, (2, 4, 16, 16, 3)).astype(np.uint8))
    np.testing.assert_array_equal(again.logits(ids), first.logits(ids))
    kept = {"data", "tokenizer"}
    assert {key: value for key, value in again.config.to_dict().items() if key not in kept} == {
        key: value for key, value in first.config.to_dict().items() if key not in kept
    }


def test_training_goes_on_from_what_was_saved(tmp_path: pathlib.Path, tokenizer: pathlib.Path) -> None:
    toto_jax.save_pretrained(tmp_path, config(), params(), tokenizer, STEP)
    experiment = build(config(), tmp_path, jax.devices()[:1])
    checkpoints = Checkpoints(experiment.checkpoint_folder, experiment.settings.checkpoint, {})
    state = experiment.trainer.restore(checkpoints)
    checkpoints.close()
    assert int(state.step) == STEP
    for tree in (state.params, state.ema):
        jax.tree.map(np.testing.assert_array_equal, tree, params())
    assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(state.opt_state))


def test_weights_of_others_become_a_run_at_its_start(tmp_path: pathlib.Path, tokenizer: pathlib.Path) -> None:
    """In parts with an index, as large models are, and with a vocabulary that no multiple of ours would pad to."""
    folder = foreign(tmp_path / "theirs", {"vocab_size": 51, "head_dim": 8})
    tensors = safetensors.numpy.load_file(folder / WEIGHTS)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        tensors[name] = np.ascontiguousarray(tensors[name][:51])
    (folder / WEIGHTS).unlink()
    places = {name: f"model-0000{1 + number % 2}.safetensors" for number, name in enumerate(tensors)}
    for file in set(places.values()):
        part = {name: tensors[name] for name in tensors if places[name] == file}
        safetensors.numpy.save_file(part, folder / file)
    (folder / INDEX).write_text(json.dumps({"weight_map": places}))
    found = import_model("llama", folder, tokenizer, GIVEN)
    assert (found.step, found.config.model.vocabulary_multiple) == (0, 51)
    toto_jax.save_pretrained(tmp_path / "ours", found.config, found.params, tokenizer)
    toto = toto_jax.from_pretrained(tmp_path / "ours")
    ids = np.arange(40).reshape(2, 20)
    wanted = dict(params()) | {"embedding": params()["embedding"][:51], "head": params()["head"][:, :51]}
    logits = Llama(toto.decoder.config, 51).apply(wanted, ids).logits_BTV
    np.testing.assert_allclose(toto.logits(ids), logits, atol=2e-6)
    assert (toto.step, toto.geometry.frames, toto.config.clips.size) == (0, 4, 16)


SMALL = np.zeros((24, 24), np.float32)


@pytest.mark.parametrize(
    ("changes", "tensors", "message"),
    [
        ({"model_type": None}, {}, "is of a None, and only 'llama'"),
        ({"rms_norm_eps": None}, {}, "config.json lacks 'rms_norm_eps', which the tensors don't tell"),
        ({"rms_norm_eps": "small"}, {}, "rms_norm_eps='small', which is no number"),
        ({"rms_norm_eps": 0}, {}, "our decoder can't be: config.model.norm_eps must be positive"),
        ({"rope_parameters": [1]}, {}, r"rope_parameters=\[1\], which are no settings"),
        ({"head_dim": None, "num_attention_heads": None}, {}, "config.json lacks 'num_attention_heads'"),
        ({"head_dim": 0}, {}, "makes a head 0 wide"),
        ({"head_dim": 5}, {}, "a head 5 wide .* queries of 32 and keys of 16 are not whole numbers"),
        ({"head_dim": 16}, {}, "num_attention_heads is 4 there and 2 here; num_key_value_heads is 2 there and 1"),
        ({"num_hidden_layers": 4, "vocab_size": 9}, {}, "num_hidden_layers is 4 there and 3 here; vocab_size is 9"),
        (
            {"head_dim": 1, "num_attention_heads": 32, "num_key_value_heads": 16}, {},
            "our decoder can't be: config.model.head_dim=1 is odd",
        ),
        ({}, {"model.embed_tokens.weight": None}, "'model.embed_tokens.weight' is missing"),
        ({}, {"model.norm.weight": None}, "'model.norm.weight' is missing"),
        ({}, {"lm_head.weight": None}, "'lm_head.weight' is missing"),
        ({}, {"model.layers.2.mlp.up_proj.weight": None}, "'model.layers.2.mlp.up_proj.weight' is missing"),
        ({}, {"model.layers.1.mlp.up_proj.weight": SMALL}, r"shape \(24, 24\), and the other .* \(40, 24\)"),
        ({}, {"model.layers.0.self_attn.k_proj.weight": SMALL[0]}, r"shape \(24,\), not 2 dimensions"),
        ({}, {"model.layers.0.self_attn.q_proj.bias": SMALL[0]}, "1 tensors have no place in our decoder"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(
    tmp_path: pathlib.Path, tokenizer: pathlib.Path, changes: Any, tensors: Any, message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        import_model("llama", foreign(tmp_path / "theirs", changes, **tensors), tokenizer, GIVEN)


def test_heads_that_are_not_named_are_counted(tmp_path: pathlib.Path, tokenizer: pathlib.Path) -> None:
    missing = dict.fromkeys(("num_hidden_layers", "num_key_value_heads", "num_attention_heads", "vocab_size"))
    found = import_model("llama", foreign(tmp_path / "theirs", missing), tokenizer, GIVEN).config.model
    assert (found.layers, found.heads, found.kv_heads, found.vocabulary_multiple) == (3, 4, 2, 128)


def write_bad(folder: pathlib.Path, name: str, text: str) -> None:
    (folder / name).unlink(missing_ok=True)
    if text:
        (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (CONFIG, "", "config.json can't be read: .*No such file"),
        (CONFIG, "<html>", "config.json can't be read"),
        (CONFIG, "[1]", "config.json holds a list, not settings"),
        (WEIGHTS, "", "has neither model.safetensors nor model.safetensors.index.json"),
        (WEIGHTS, "<html>", "model.safetensors .* is damaged .* must be whole"),
        (
            INDEX,
            '{"weight_map": {"x": "../model.safetensors"}}',
            "no weight_map from tensors to files beside it",
        ),
        (INDEX, "{}", "no weight_map from tensors to files beside it"),
        (INDEX, '{"weight_map": {"x": "gone.safetensors"}}', "gone.safetensors is missing"),
        (
            INDEX,
            '{"weight_map": {"x": "model.safetensors"}}',
            "doesn't fit the files beside it: lm_head.weight",
        ),
        (RUN, "{}", "run.json lacks the run's config and step"),
        (RUN, '{"config": {}, "step": 1}', "tokenizer_spec.json can't be read"),
    ],
)
def test_odd_files_are_told(tmp_path: pathlib.Path, name: str, text: str, message: str) -> None:
    write_bad(foreign(tmp_path / "theirs"), name, text)
    with pytest.raises(CheckpointError, match=message):
        read_folder(tmp_path / "theirs")


def test_a_dtype_that_numpy_has_not_is_told(tmp_path: pathlib.Path) -> None:
    header = b'{"x":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}'
    folder = foreign(tmp_path / "theirs")
    (folder / WEIGHTS).write_bytes(len(header).to_bytes(8, "little") + header + b"ab")
    with pytest.raises(CheckpointError, match="in float32, float16 or bfloat16"):
        read_folder(folder)


def test_what_must_be_given_is_asked_for(tmp_path: pathlib.Path, tokenizer: pathlib.Path) -> None:
    folder = foreign(tmp_path / "theirs")
    with pytest.raises(ConfigError, match="holds no tokenizer; name .* as --tokenizer"):
        import_model("llama", folder, None, GIVEN)
    with pytest.raises(ConfigError, match="Give --config, --frames, --size, e.g."):
        import_model("llama", folder, tokenizer, Given(None, None, None))
    with pytest.raises(ConfigError, match="Give --size, e.g."):
        import_model("llama", folder, tokenizer, Given(config(), 4, None))
    with pytest.raises(CheckpointError, match="There is no folder"):
        import_model("llama", tmp_path / "nowhere", tokenizer, GIVEN)
    with pytest.raises(CheckpointError, match="There is no folder .*, so no tokenizer"):
        import_model("llama", folder, tmp_path / "nowhere", GIVEN)


def test_a_tokenizer_of_more_codes_or_other_weights_is_refused(
    tmp_path: pathlib.Path, tokenizer: pathlib.Path
) -> None:
    large = DVAEConfig(codebook_size=125, width=8, decoder_stem=8, halvings=2, blocks=1)
    write_tokenizer(tmp_path / "large", DVAE(large))
    with pytest.raises(CheckpointError, match="knows 128 ids, and a tokenizer of 125 codes needs 129"):
        import_model("llama", foreign(tmp_path / "theirs"), tmp_path / "large", GIVEN)
    toto_jax.save_pretrained(tmp_path / "run", config(), params(), tokenizer)
    toto = toto_jax.from_pretrained(tmp_path / "run")
    out = tmp_path / "out"
    settings, tensors = to_hugging_face(MODEL, params(), context=65)
    write_folder(out, settings, tensors, toto.geometry, toto.tokenizer.spec, toto.config, 0)
    nothing = Given(None, None, None)
    with pytest.raises(CheckpointError, match="was trained on codes of the dvae .* holds the dvae"):
        import_model("llama", out, tmp_path / "large", nothing)
    with pytest.raises(ConfigError, match="has the run's config; leave out --frames"):
        import_model("llama", out, tokenizer, Given(None, 4, None))
    (out / RUN).write_text(json.dumps({"config": {"name": "x", "model": {}}, "step": 0}))
    with pytest.raises(CheckpointError, match="lacks the config's section 'tokenizer'"):
        import_model("llama", out, tokenizer, nothing)


def test_parameters_of_another_model_are_not_saved(tmp_path: pathlib.Path, tokenizer: pathlib.Path) -> None:
    other = dict(params()) | {"head": params()["head"][:, :5]}
    with pytest.raises(CheckpointError, match="not the parameters of the config's model: head differ"):
        toto_jax.save_pretrained(tmp_path / "run", config(), other, tokenizer)
    with pytest.raises(ConfigError, match="is not empty; give a new folder"):
        toto_jax.save_pretrained(tokenizer, config(), params(), tokenizer)
