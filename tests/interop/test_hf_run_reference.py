"""A LLaMA that transformers made and saved, imported by the command."""

import pathlib

import numpy as np
import pytest

import toto_jax
from tests.interop.test_hf_run import write_tokenizer
from tests.interop.test_import_weights import run

pytestmark = pytest.mark.reference
torch = pytest.importorskip("torch", reason="the reference is written in PyTorch")
transformers = pytest.importorskip("transformers", reason="the reference is transformers' LLaMA")


@pytest.mark.parametrize("part_size", ["5GB", "20kB"], ids=["one file", "sharded"])
def test_logits_are_theirs(tmp_path: pathlib.Path, part_size: str) -> None:
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=96, hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4,
            num_key_value_heads=2, rms_norm_eps=1e-5, initializer_range=0.15,
            rope_parameters={"rope_type": "default", "rope_theta": 50_000.0},
        )
    ).eval()  # fmt: skip
    model.save_pretrained(tmp_path / "theirs", max_shard_size=part_size)
    assert (tmp_path / "theirs" / "model.safetensors").is_file() == (part_size == "5GB")
    tokenizer = write_tokenizer(tmp_path / "tokenizer")
    done = run(
        "hf-llama", str(tmp_path / "theirs"), f"--out={tmp_path / 'ours'}", f"--tokenizer={tokenizer}",
        "--frames=4", "--size=16", "--config=configs/base.py",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    toto = toto_jax.from_pretrained(tmp_path / "ours", dtype="float32")
    ids = toto.tokens(np.random.default_rng(0).integers(0, 256, (2, 4, 16, 16, 3)).astype(np.uint8))
    with torch.no_grad():
        theirs = model(torch.from_numpy(ids)).logits.numpy()
    np.testing.assert_allclose(toto.logits(ids), theirs, atol=2e-5 * np.abs(theirs).max())
    assert (toto.config.model.kv_heads, toto.config.model.head_dim, toto.config.model.d_ff) == (2, 12, 80)


@pytest.mark.parametrize("kind", ["gpt2", "mamba"])
def test_other_architectures_are_theirs_too(tmp_path: pathlib.Path, kind: str) -> None:
    torch.manual_seed(0)
    if kind == "gpt2":
        config = transformers.GPT2Config(
            vocab_size=96, n_positions=80, n_embd=48, n_layer=3, n_head=4, initializer_range=0.15
        )
        model = transformers.GPT2LMHeadModel(config).eval()
    else:
        config = transformers.MambaConfig(
            vocab_size=96, hidden_size=48, state_size=6, num_hidden_layers=3, initializer_range=0.15
        )
        model = transformers.MambaForCausalLM(config).eval()
    model.save_pretrained(tmp_path / "theirs")
    tokenizer = write_tokenizer(tmp_path / "tokenizer")
    done = run(
        f"hf-{kind}", str(tmp_path / "theirs"), f"--out={tmp_path / 'ours'}", f"--tokenizer={tokenizer}",
        "--frames=4", "--size=16", "--config=configs/base.py",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    toto = toto_jax.from_pretrained(tmp_path / "ours", dtype="float32")
    ids = toto.tokens(np.random.default_rng(0).integers(0, 256, (2, 4, 16, 16, 3)).astype(np.uint8))
    with torch.no_grad():
        theirs = model(torch.from_numpy(ids)).logits.numpy()
    np.testing.assert_allclose(toto.logits(ids), theirs, atol=2e-5 * np.abs(theirs).max())
    assert (toto.config.model.kind, toto.config.model.layers) == (kind, 3)
