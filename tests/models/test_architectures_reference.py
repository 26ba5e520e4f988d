"""Parity with transformers' GPT2LMHeadModel and MambaForCausalLM on random weights: logits, hidden states, decoding."""

from typing import Any

import jax
import numpy as np
import pytest

from configs.default import get_config
from toto_jax.models.decoder import Decoder, build_decoder
from toto_jax.models.parametrisation import MupConfig

pytestmark = pytest.mark.reference
torch = pytest.importorskip("torch", reason="the reference is written in PyTorch")
transformers = pytest.importorskip("transformers", reason="the reference is transformers' GPT-2 and Mamba")

VOCABULARY = 96
IDS = np.random.default_rng(0).integers(0, VOCABULARY, (2, 21))
SIZES = {
    "layers": 3, "d_model": 48, "heads": 4, "kv_heads": 4, "head_dim": 12, "d_ff": 80, "positions": 24, "channels": 96,
    "state": 6, "step_rank": 5, "chunk": 8, "norm_eps": 1e-5, "tied_head": True, "vocabulary_multiple": 8,
    "dtype": "float32",
}  # fmt: skip


def ours(kind: str) -> Decoder:
    section = {**get_config().model, **SIZES}
    return build_decoder(kind, section, VOCABULARY, "cpu", MupConfig(**get_config().mup))


def shaken(model: Any) -> Any:
    """All ones and zeros would hide a gain or a bias that is forgotten or swapped."""
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return model.eval()


def gpt2() -> tuple[Any, dict[str, Any]]:
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=VOCABULARY, n_positions=24, n_embd=48, n_layer=3, n_head=4, n_inner=80,
            attn_implementation="eager", initializer_range=0.1, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        )
    )  # fmt: skip
    w = {name: value.detach().numpy() for name, value in shaken(model).state_dict().items()}

    def stack(name: str) -> np.ndarray:
        return np.stack([w[f"transformer.h.{layer}.{name}"] for layer in range(3)])

    def norm(name: str) -> dict[str, np.ndarray]:
        return {"gain": stack(f"{name}.weight"), "bias": stack(f"{name}.bias")}

    kernels = np.split(stack("attn.c_attn.weight"), 3, axis=-1)
    biases = np.split(stack("attn.c_attn.bias"), 3, axis=-1)
    attention = {
        name: kernel.reshape(3, 48, 4, 12)
        for name, kernel in zip(("query", "key", "value"), kernels, strict=True)
    }
    attention |= {
        f"{name}_bias": bias.reshape(3, 4, 12)
        for name, bias in zip(("query", "key", "value"), biases, strict=True)
    }
    attention |= {
        "output": stack("attn.c_proj.weight").reshape(3, 4, 12, 48),
        "output_bias": stack("attn.c_proj.bias"),
    }
    mlp = {"up": stack("mlp.c_fc.weight"), "up_bias": stack("mlp.c_fc.bias")}
    mlp |= {"down": stack("mlp.c_proj.weight"), "down_bias": stack("mlp.c_proj.bias")}
    layers = {"attention_norm": norm("ln_1"), "attention": attention, "mlp_norm": norm("ln_2"), "mlp": mlp}
    last = {"gain": w["transformer.ln_f.weight"], "bias": w["transformer.ln_f.bias"]}
    ends = {
        "embedding": w["transformer.wte.weight"],
        "positions": w["transformer.wpe.weight"],
        "final_norm": last,
    }
    return model, {**ends, "layers": layers}


def mamba() -> tuple[Any, dict[str, Any]]:
    torch.manual_seed(0)
    model = transformers.MambaForCausalLM(
        transformers.MambaConfig(
            vocab_size=VOCABULARY, hidden_size=48, state_size=6, num_hidden_layers=3,
            conv_kernel=4, expand=2, time_step_rank=5, layer_norm_epsilon=1e-5, initializer_range=0.1,
            tie_word_embeddings=True,
        )
    )  # fmt: skip
    w = {name: value.detach().numpy() for name, value in shaken(model).state_dict().items()}

    def stack(name: str) -> np.ndarray:
        return np.stack([w[f"backbone.layers.{layer}.{name}"] for layer in range(3)])

    inputs, gates = np.split(stack("mixer.in_proj.weight").swapaxes(1, 2), 2, axis=2)
    layers = {
        "norm": {"gain": stack("norm.weight")},
        "input": inputs,
        "gate": gates,
        "kernel": stack("mixer.conv1d.weight")[:, :, 0].swapaxes(1, 2),
        "kernel_bias": stack("mixer.conv1d.bias"),
        "select": stack("mixer.x_proj.weight").swapaxes(1, 2),
        "step": stack("mixer.dt_proj.weight").swapaxes(1, 2),
        "step_bias": stack("mixer.dt_proj.bias"),
        "rates": stack("mixer.A_log").swapaxes(1, 2),
        "skip": stack("mixer.D"),
        "output": stack("mixer.out_proj.weight").swapaxes(1, 2),
    }
    ends = {"embedding": w["backbone.embeddings.weight"], "final_norm": {"gain": w["backbone.norm_f.weight"]}}
    return model, {**ends, "layers": layers}


@pytest.mark.parametrize(("kind", "make"), [("gpt2", gpt2), ("mamba", mamba)])
def test_parity(kind: str, make: Any) -> None:
    model, params = make()
    decoder = ours(kind)
    shapes = jax.eval_shape(decoder.init, jax.random.key(0))
    assert jax.tree.map(lambda leaf: leaf.shape, shapes) == jax.tree.map(np.shape, params)
    with torch.no_grad():
        wanted = model(torch.from_numpy(IDS), output_hidden_states=True)
    # Theirs begin with the embedding's output; Mamba's with that of the first block.
    layers = (1, 2, 3) if kind == "mamba" else (0, 1, 2)
    out = jax.jit(decoder.apply, static_argnames="hidden")(params, IDS, hidden=layers)
    logits = wanted.logits.numpy()
    np.testing.assert_allclose(out.logits_BTV, logits, atol=2e-5 * np.abs(logits).max())
    for mine, theirs in zip(out.hidden_LBTD, wanted.hidden_states, strict=False):
        np.testing.assert_allclose(mine, theirs.numpy(), atol=2e-5 * np.abs(theirs.numpy()).max())
    cache, steps = decoder.init_cache(2, 24), []
    for start, end in ((0, 10), *((at, at + 1) for at in range(10, 21))):
        piece = jax.jit(decoder.apply)(params, IDS[:, start:end], cache=cache)
        steps.append(piece.logits_BTV)
        cache = piece.cache
    np.testing.assert_allclose(np.concatenate(steps, 1), logits, atol=2e-5 * np.abs(logits).max())


@pytest.mark.parametrize(("kind", "make"), [("gpt2", gpt2), ("mamba", mamba)])
def test_gradients(kind: str, make: Any) -> None:
    """Of the loss by embedding and head, which are one matrix, so that they pass through everything."""
    model, params = make()
    decoder, ids = ours(kind), torch.from_numpy(IDS)
    loss = torch.nn.functional.cross_entropy(
        model(ids[:, :-1]).logits.reshape(-1, VOCABULARY), ids[:, 1:].reshape(-1)
    )
    loss.backward()

    def nll(params: Any) -> jax.Array:
        logits = jax.nn.log_softmax(decoder.apply(params, IDS[:, :-1]).logits_BTV)
        return -np.float32(1) * jax.numpy.take_along_axis(logits, IDS[:, 1:, None], axis=2).mean()

    value, grads = jax.jit(jax.value_and_grad(nll))(params)
    assert float(value) == pytest.approx(loss.item(), rel=1e-5)
    theirs = model.get_input_embeddings().weight.grad.numpy()
    np.testing.assert_allclose(grads["embedding"], theirs, atol=5e-5 * np.abs(theirs).max())
