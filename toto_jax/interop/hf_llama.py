"""Hugging Face's `LlamaForCausalLM` and our decoder: the same network, under other names and transposed.

Theirs: `model.layers.0.self_attn.q_proj.weight` (out, in). Ours: kernels (in, out) with heads apart, layers stacked in
front. Both rotate halves, so no row changes places.

Shapes: L layers, V vocabulary, D model width, N query heads, K key-value heads, H size of a head, M feed-forward.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from toto_jax.errors import CheckpointError
from toto_jax.models.llama import LlamaConfig
from toto_jax.tree import Params

Tensors = Mapping[str, np.ndarray]
_LAYER = "model.layers.{layer}.{name}.weight"


@dataclasses.dataclass(frozen=True)
class Linear:
    """A kernel of ours: its path in a block, their name of it, and the letters of its inputs and outputs."""

    path: tuple[str, str]
    theirs: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


# Letters are those of the legend.
LINEARS = (
    Linear(("attention", "query"), "self_attn.q_proj", ("D",), ("N", "H")),
    Linear(("attention", "key"), "self_attn.k_proj", ("D",), ("K", "H")),
    Linear(("attention", "value"), "self_attn.v_proj", ("D",), ("K", "H")),
    Linear(("attention", "output"), "self_attn.o_proj", ("N", "H"), ("D",)),
    Linear(("mlp", "gate"), "mlp.gate_proj", ("D",), ("M",)),
    Linear(("mlp", "up"), "mlp.up_proj", ("D",), ("M",)),
    Linear(("mlp", "down"), "mlp.down_proj", ("M",), ("D",)),
)
NORMS = {"attention_norm": "input_layernorm", "mlp_norm": "post_attention_layernorm"}


def to_hugging_face(
    config: LlamaConfig, params: Params, context: int
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Returns (config.json, tensors) of a `LlamaForCausalLM`, float32 and contiguous.

    Args:
      config: of the decoder.
      params: its parameters, readable by this process.
      context: longest sequence that it was trained on.
    """
    vocabulary = params["embedding"].shape[0]
    tensors = {
        "model.embed_tokens.weight": np.asarray(params["embedding"]),
        "model.norm.weight": np.asarray(params["final_norm"]["gain"]),
    }
    if not config.tied_head:
        tensors["lm_head.weight"] = np.asarray(params["head"]).T
    blocks = params["layers"]
    for layer in range(config.layers):
        for linear in LINEARS:
            block, leaf = linear.path
            kernel = np.asarray(blocks[block][leaf][layer])
            inputs = math.prod(kernel.shape[: len(linear.inputs)])
            tensors[_LAYER.format(layer=layer, name=linear.theirs)] = kernel.reshape(inputs, -1).T
        for ours, theirs in NORMS.items():
            tensors[_LAYER.format(layer=layer, name=theirs)] = np.asarray(blocks[ours]["gain"][layer])
    settings = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": config.d_model,
        "intermediate_size": config.d_ff,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_base,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_base},
        "tie_word_embeddings": config.tied_head,
        "attention_bias": False,
        "mlp_bias": False,
        "max_position_embeddings": context,
        "dtype": "float32",
    }
    # Contiguous, because safetensors writes the bytes of transposed views in another order without a word.
    return settings, {name: np.ascontiguousarray(array, np.float32) for name, array in tensors.items()}


def from_hugging_face(settings: Mapping[str, Any], tensors: Tensors) -> tuple[dict[str, Any], Params]:
    """Returns (keys of `config.model`, parameters) of a `LlamaForCausalLM`.

    Args:
      settings: its config.json.
      tensors: by their names; float32, or any dtype that converts to it.

    Raises:
      CheckpointError: if it is another architecture, has what ours hasn't (biases, scaled rotation), or a tensor is
        missing, unknown, or of another size than the config's.
    """
    _check(settings)
    heads, width = settings["num_attention_heads"], settings["hidden_size"]
    sizes = {
        "L": settings["num_hidden_layers"],
        "D": width,
        "N": heads,
        "K": settings.get("num_key_value_heads") or heads,
        "H": settings.get("head_dim") or width // heads,
        "M": settings["intermediate_size"],
        "V": settings["vocab_size"],
    }
    tied = bool(settings.get("tie_word_embeddings", False))
    left = {name: array for name, array in tensors.items() if not name.endswith("rotary_emb.inv_freq")}
    if tied:
        left.pop("lm_head.weight", None)

    def take(name: str, *letters: tuple[str, ...]) -> np.ndarray:
        """Returns one of their tensors, whose axes are products of the sizes that the letters stand for."""
        if name not in left:
            raise CheckpointError(f"The tensor {name!r} is missing from the file")
        array = np.asarray(left.pop(name), np.float32)
        shape = tuple(math.prod(sizes[letter] for letter in axis) for axis in letters)
        if array.shape != shape:
            raise CheckpointError(f"{name} has shape {array.shape}, and config.json's sizes make it {shape}")
        return array

    def stack(name: str, *letters: tuple[str, ...]) -> np.ndarray:
        return np.stack(
            [take(_LAYER.format(layer=layer, name=name), *letters) for layer in range(sizes["L"])]
        )

    blocks: dict[str, Any] = {ours: {"gain": stack(theirs, ("D",))} for ours, theirs in NORMS.items()}
    for linear in LINEARS:
        block, leaf = linear.path
        stacked = stack(linear.theirs, linear.outputs, linear.inputs).swapaxes(1, 2)
        shape = tuple(sizes[letter] for letter in ("L", *linear.inputs, *linear.outputs))
        blocks.setdefault(block, {})[leaf] = stacked.reshape(shape)
    params = {
        "embedding": take("model.embed_tokens.weight", ("V",), ("D",)),
        "final_norm": {"gain": take("model.norm.weight", ("D",))},
        "layers": blocks,
    }
    if not tied:
        params["head"] = take("lm_head.weight", ("V",), ("D",)).T
    if left:
        raise CheckpointError(
            f"{len(left)} tensors have no place in our decoder: {', '.join(sorted(left)[:5])}"
        )
    return {
        "layers": sizes["L"],
        "d_model": width,
        "heads": sizes["N"],
        "kv_heads": sizes["K"],
        "head_dim": sizes["H"],
        "d_ff": sizes["M"],
        "rope_base": float(_rotation(settings).get("rope_theta", settings.get("rope_theta", 10_000.0))),
        "norm_eps": float(settings["rms_norm_eps"]),
        "tied_head": tied,
    }, params


def _rotation(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return settings.get("rope_parameters") or settings.get("rope_scaling") or {}


def _check(settings: Mapping[str, Any]) -> None:
    """Raises CheckpointError for what our decoder doesn't have."""
    if settings.get("model_type") != "llama":
        raise CheckpointError(f"config.json is of a {settings.get('model_type')!r}, and only 'llama' is read")
    kind = _rotation(settings).get("rope_type", _rotation(settings).get("type", "default"))
    foreign = {
        "attention_bias": settings.get("attention_bias"),
        "mlp_bias": settings.get("mlp_bias"),
        "hidden_act": settings.get("hidden_act", "silu") != "silu",
        f"rope_type={kind!r}": kind != "default",
    }
    found = [name for name, wrong in foreign.items() if wrong]
    if found:
        raise CheckpointError(f"This LLaMA has {', '.join(found)}, which our decoder doesn't have")
