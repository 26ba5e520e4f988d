"""Parity with transformers' LlamaForCausalLM on random weights: logits and every hidden state."""

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest

from toto_jax.models.llama import Llama, LlamaConfig

pytestmark = pytest.mark.reference
torch = pytest.importorskip("torch", reason="the reference is written in PyTorch")
transformers = pytest.importorskip("transformers", reason="the reference is transformers' LLaMA")

CONFIG = LlamaConfig(
    layers=3, d_model=48, heads=4, kv_heads=4, head_dim=16, d_ff=80, rope_base=10_000.0,
    rope_grid=(), qk_norm=False, norm_eps=1e-6,
    init_std=0.15, tied_head=False, vocabulary_multiple=8, dtype="float32", attention="chunked",
    remat="none", scan_unroll=1,
)  # fmt: skip
VOCABULARY = 96


def reference(config: LlamaConfig) -> Any:
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=config.d_model,
            intermediate_size=config.d_ff,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.kv_heads,
            head_dim=config.head_dim,
            rms_norm_eps=config.norm_eps,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_base},
            tie_word_embeddings=config.tied_head,
            initializer_range=config.init_std,
            attn_implementation="eager",
        )
    )
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:  # all ones, which would hide a forgotten or swapped gain
                weight.uniform_(0.5, 1.5)
    return model.eval()


def our_params(state: dict[str, np.ndarray], config: LlamaConfig) -> dict[str, Any]:
    """Returns PyTorch's weights, which are (out, in), as our kernels, which are (in, out), layers stacked."""

    def stack(name: str, *shape: int) -> np.ndarray:
        names = [f"model.layers.{layer}.{name}.weight" for layer in range(config.layers)]
        return np.stack([state[name].T.reshape(*shape) if shape else state[name] for name in names])

    d, ff, size = config.d_model, config.d_ff, config.head_dim
    attention = {
        "query": stack("self_attn.q_proj", d, config.heads, size),
        "key": stack("self_attn.k_proj", d, config.kv_heads, size),
        "value": stack("self_attn.v_proj", d, config.kv_heads, size),
        "output": stack("self_attn.o_proj", config.heads, size, d),
    }
    mlp = {name: stack(f"mlp.{name}_proj", *shape) for name, shape in
           {"gate": (d, ff), "up": (d, ff), "down": (ff, d)}.items()}  # fmt: skip
    params = {
        "embedding": state["model.embed_tokens.weight"],
        "layers": {
            "attention_norm": {"gain": stack("input_layernorm")},
            "attention": attention,
            "mlp_norm": {"gain": stack("post_attention_layernorm")},
            "mlp": mlp,
        },
        "final_norm": {"gain": state["model.norm.weight"]},
    }
    return params if config.tied_head else {**params, "head": state["lm_head.weight"].T}


@pytest.mark.parametrize(
    "changes",
    [{}, {"kv_heads": 2}, {"kv_heads": 1, "tied_head": True}, {"rope_base": 50_000.0, "norm_eps": 1e-2}],
    ids=["plain", "grouped", "one key-value head, tied", "other base and eps"],
)
def test_parity(changes: dict[str, Any]) -> None:
    config = dataclasses.replace(CONFIG, **changes)
    model = reference(config)
    ids = np.random.default_rng(0).integers(0, VOCABULARY, (2, 75))
    # hidden_states[-1] comes after the final norm; ours before it, as the last block puts it out.
    last = []
    model.model.layers[-1].register_forward_hook(
        lambda module, args, out: last.append(out[0] if isinstance(out, tuple) else out)
    )
    with torch.no_grad():
        theirs = model(torch.from_numpy(ids), output_hidden_states=True, use_cache=False)
    params = our_params({name: weight.numpy() for name, weight in model.state_dict().items()}, config)

    decoder = Llama(config, VOCABULARY)
    shapes = jax.tree.map(np.shape, params)
    assert shapes == jax.tree.map(np.shape, jax.eval_shape(decoder.init, jax.random.key(0)))
    every = tuple(range(config.layers + 1))
    ours = jax.jit(lambda params, ids: decoder.apply(params, ids, hidden=every))(params, ids)
    compare(ours.logits_BTV, theirs.logits)
    for index in every:
        compare(ours.hidden_LBTD[index], last[0] if index == config.layers else theirs.hidden_states[index])


def compare(ours: jax.Array, theirs: Any) -> None:
    theirs = theirs.numpy()
    assert theirs.std() > 0.1
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5 * np.abs(theirs).max())
