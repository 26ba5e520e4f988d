"""Hugging Face's own LLaMA on our weights, and ours on its."""

import dataclasses
import json
import pathlib
from typing import Any

import jax
import numpy as np
import pytest
import safetensors.numpy

from toto_jax.errors import CheckpointError
from toto_jax.interop.hf_llama import from_hugging_face, to_hugging_face
from toto_jax.models.llama import Llama, LlamaConfig

pytestmark = pytest.mark.reference
torch = pytest.importorskip("torch", reason="the reference is written in PyTorch")
transformers = pytest.importorskip("transformers", reason="the reference is transformers' LLaMA")

CONFIG = LlamaConfig(
    layers=3, d_model=48, heads=4, kv_heads=2, head_dim=16, d_ff=80, rope_base=50_000.0,
    rope_grid=(), qk_norm=False, norm_eps=1e-5,
    init_std=0.15, tied_head=False, vocabulary_multiple=8, dtype="float32", attention="chunked",
    remat="none", scan_unroll=1,
)  # fmt: skip
VOCABULARY = 96
IDS = np.random.default_rng(0).integers(0, VOCABULARY, (2, 20))


def random_params(config: LlamaConfig) -> Any:
    """Gains too: all ones would hide one that is forgotten or swapped."""
    params = Llama(config, VOCABULARY).init(jax.random.key(0))
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda x: x * rng.uniform(0.5, 1.5, x.shape).astype(np.float32), params)


def ours(config: LlamaConfig, params: Any) -> np.ndarray:
    return np.asarray(Llama(config, VOCABULARY).apply(params, IDS).logits_BTV)


def save(folder: pathlib.Path, settings: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    (folder / "config.json").write_text(json.dumps(settings))
    safetensors.numpy.save_file(tensors, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize("tied", [False, True])
def test_transformers_loads_what_we_write(tmp_path: pathlib.Path, tied: bool) -> None:
    config = dataclasses.replace(CONFIG, tied_head=tied)
    params = random_params(config)
    settings, tensors = to_hugging_face(config, params, context=64)
    assert all(array.flags.c_contiguous for array in tensors.values())
    save(tmp_path, settings, tensors)
    model, info = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert type(model).__name__ == "LlamaForCausalLM"
    with torch.no_grad():
        theirs = model.eval()(torch.from_numpy(IDS)).logits.numpy()
    logits = ours(config, params)
    np.testing.assert_allclose(logits, theirs, atol=2e-5 * np.abs(theirs).max())
    keys, back = from_hugging_face(settings, tensors)
    assert {key: getattr(config, key) for key in keys} == keys
    jax.tree.map(np.testing.assert_array_equal, back, params)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_we_load_what_transformers_writes(tmp_path: pathlib.Path, dtype: str) -> None:
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=VOCABULARY, hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4,
            num_key_value_heads=2, head_dim=16, rms_norm_eps=1e-5, initializer_range=0.15,
            rope_parameters={"rope_type": "default", "rope_theta": 50_000.0},
        )
    )  # fmt: skip
    model = model.to(getattr(torch, dtype))
    model.save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    keys, params = from_hugging_face(settings, safetensors.numpy.load_file(tmp_path / "model.safetensors"))
    assert {key: getattr(CONFIG, key) for key in keys} == keys
    with torch.no_grad():
        # Loaded anew: `model.float()` would keep rotary frequencies that were rounded to bfloat16.
        again = transformers.LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
        theirs = again.eval()(torch.from_numpy(IDS)).logits.numpy()
    np.testing.assert_allclose(ours(CONFIG, params), theirs, atol=2e-5 * np.abs(theirs).max())


def test_other_architectures_and_sizes_are_refused_by_name() -> None:
    settings, tensors = to_hugging_face(CONFIG, random_params(CONFIG), context=64)
    for changes, message in [
        ({"model_type": "mistral"}, "is of a 'mistral'"),
        ({"attention_bias": True}, "has attention_bias"),
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 1.0}}, "rope_type='llama3'"),
        ({"hidden_act": "gelu"}, "has hidden_act"),
        ({"intermediate_size": 96}, "intermediate_size is 96 there and 80 here"),
        ({"num_hidden_layers": 4}, "num_hidden_layers is 4 there and 3 here"),
    ]:
        with pytest.raises(CheckpointError, match=message):
            from_hugging_face({**settings, **changes}, tensors)
