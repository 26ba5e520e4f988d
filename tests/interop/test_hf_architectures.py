"""GPT-2 and Mamba of Hugging Face as ours, without PyTorch; test_hf_run_reference.py reads what transformers wrote."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from configs.default import get_config
from toto_jax.errors import CheckpointError
from toto_jax.interop import hf_gpt2, hf_mamba
from toto_jax.models.decoder import build_decoder
from toto_jax.models.parametrisation import MupConfig

D, V, L = 12, 40, 3
GPT2_LAYER = {
    "ln_1.weight": (D,), "ln_1.bias": (D,), "attn.c_attn.weight": (D, 3 * D), "attn.c_attn.bias": (3 * D,),
    "attn.c_proj.weight": (D, D), "attn.c_proj.bias": (D,), "ln_2.weight": (D,), "ln_2.bias": (D,),
    "mlp.c_fc.weight": (D, 20), "mlp.c_fc.bias": (20,), "mlp.c_proj.weight": (20, D), "mlp.c_proj.bias": (D,),
}  # fmt: skip
MAMBA_LAYER = {
    "norm.weight": (D,), "mixer.in_proj.weight": (32, D), "mixer.conv1d.weight": (16, 1, 4), "mixer.conv1d.bias": (16,),
    "mixer.x_proj.weight": (13, 16), "mixer.dt_proj.weight": (16, 3), "mixer.dt_proj.bias": (16,),
    "mixer.A_log": (16, 5), "mixer.D": (16,), "mixer.out_proj.weight": (D, 16),
}  # fmt: skip
Made = tuple[dict[str, Any], dict[str, np.ndarray]]


def gpt2() -> Made:
    ends = {"wte.weight": (V, D), "wpe.weight": (9, D), "ln_f.weight": (D,), "ln_f.bias": (D,)}
    shapes = ends | {f"h.{layer}.{name}": shape for layer in range(L) for name, shape in GPT2_LAYER.items()}
    buffers = {f"transformer.h.{layer}.attn.bias": np.ones((1, 1, 9, 9)) for layer in range(L)}
    settings = {"model_type": "gpt2", "n_head": 3, "n_embd": D, "n_inner": None, "layer_norm_epsilon": 1e-5}
    return settings, {f"transformer.{name}": drawn(shape) for name, shape in shapes.items()} | buffers


def mamba() -> Made:
    ends = {"embeddings.weight": (V, D), "norm_f.weight": (D,)}
    shapes = ends | {
        f"layers.{layer}.{name}": shape for layer in range(L) for name, shape in MAMBA_LAYER.items()
    }
    settings = {"model_type": "mamba", "hidden_size": D, "time_step_rank": "auto", "state_size": 5}
    return settings, {f"backbone.{name}": drawn(shape) for name, shape in shapes.items()}


def drawn(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float16)


KINDS = {"gpt2": (gpt2, hf_gpt2), "mamba": (mamba, hf_mamba)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tied", [True, False])
def test_sizes_are_inferred_and_every_tensor_finds_its_place(kind: str, tied: bool) -> None:
    make, module = KINDS[kind]
    settings, tensors = make()
    tensors["lm_head.weight"] = drawn((V, D))
    keys, params = module.from_hugging_face({**settings, "tie_word_embeddings": tied}, tensors)
    section = {**get_config().model, **keys, "vocabulary_multiple": 1}
    decoder = build_decoder(kind, section, V, "cpu", MupConfig(**get_config().mup))
    shapes = jax.eval_shape(decoder.init, jax.random.key(0))
    assert jax.tree.map(lambda leaf: leaf.shape, shapes) == jax.tree.map(np.shape, params)
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(params))
    assert (keys["layers"], keys["d_model"], keys["tied_head"]) == (L, D, tied)


def test_values_lie_where_they_belong() -> None:
    """A hand's check beside the parity with transformers: columns of fused kernels, heads, transposed rates."""
    _, tensors = gpt2()
    fused = tensors["transformer.h.1.attn.c_attn.weight"].astype(np.float32)
    attention = hf_gpt2.from_hugging_face(*gpt2())[1]["layers"]["attention"]
    np.testing.assert_array_equal(attention["key"][1][:, 2], fused[:, D + 8 : D + 12])
    _, tensors = mamba()
    layers = hf_mamba.from_hugging_face(*mamba())[1]["layers"]
    rates = tensors["backbone.layers.2.mixer.A_log"].astype(np.float32)
    np.testing.assert_array_equal(layers["rates"][2], rates.T)
    np.testing.assert_array_equal(
        layers["gate"][0], tensors["backbone.layers.0.mixer.in_proj.weight"][16:].T.astype(np.float32)
    )


def without(name: str) -> Callable[[Made], None]:
    return lambda made: made[1].pop(name)


def replaced(name: str, *shape: int) -> Callable[[Made], None]:
    return lambda made: made[1].update({name: np.zeros(shape)})


def said(**changes: Any) -> Callable[[Made], None]:
    return lambda made: made[0].update(changes)


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("gpt2", said(model_type="llama"), "is of a 'llama', not 'gpt2'"),
        ("gpt2", said(activation_function="relu"), "activation_function='relu'"),
        ("gpt2", said(n_head=5), "n_head=5, and a width of 12"),
        ("gpt2", said(n_head=None), "lacks 'n_head'"),
        ("gpt2", said(n_layer=4), "n_layer is 4 there and 3 here"),
        ("gpt2", without("transformer.ln_f.bias"), "'ln_f.bias' is missing"),
        ("gpt2", without("transformer.h.1.ln_2.bias"), r"'h\.1\.ln_2\.bias' is missing"),
        ("gpt2", replaced("transformer.h.2.attn.c_proj.weight", 12, 13), r"\(12, 13\).*make it \(12, 12\)"),
        ("gpt2", replaced("transformer.extra", 3), "1 tensors have no place in our decoder: extra"),
        ("gpt2", lambda made: made[1].clear(), r"has no tensor transformer\.h\.0\."),
        ("mamba", said(use_bias=True), "use_bias=True"),
        ("mamba", said(conv_kernel=3), "conv_kernel is 3 there and 4 here"),
        ("mamba", said(layer_norm_epsilon="x"), "layer_norm_epsilon='x', which is no number"),
        ("mamba", without("backbone.layers.0.mixer.A_log"), r"'mixer\.A_log' is missing"),
        ("mamba", replaced("backbone.layers.1.mixer.D", 17), r"mixer\.D has shape \(17,\)"),
    ],
)
def test_what_does_not_fit_is_told(kind: str, change: Callable[[Made], None], message: str) -> None:
    make, module = KINDS[kind]
    made = make()
    change(made)
    with pytest.raises(CheckpointError, match=message):
        module.from_hugging_face(*made)
