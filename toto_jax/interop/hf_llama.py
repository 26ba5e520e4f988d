"""Hugging Face's `LlamaForCausalLM` and our decoder: the same network, under other names and transposed.

Theirs: `model.layers.0.self_attn.q_proj.weight` (out, in). Ours: kernels (in, out) with heads apart, layers stacked in
front. Both rotate halves, so no row changes places.

Shapes: L layers, V vocabulary, D model width, N query heads, K key-value heads, H size of a head, M feed-forward.
"""

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from toto_jax.errors import CheckpointError, ConfigError
from toto_jax.interop.conversion import Tensors
from toto_jax.interop.hf_reader import check_sizes, number
from toto_jax.models.config import DecoderConfig
from toto_jax.models.llama import LlamaConfig
from toto_jax.tree import Params

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
# What config.json calls the sizes.
_SIZES = {
    "L": "num_hidden_layers", "V": "vocab_size", "D": "hidden_size", "N": "num_attention_heads",
    "K": "num_key_value_heads", "H": "head_dim", "M": "intermediate_size",
}  # fmt: skip


def to_hugging_face(
    config: LlamaConfig, params: Params, context: int
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Returns (config.json, tensors) of a `LlamaForCausalLM`, float32 and contiguous.

    Args:
      config: of the decoder.
      params: its parameters, readable by this process.
      context: longest sequence that it was trained on.
    """
    _check_exportable(config)
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


def _check_exportable(config: DecoderConfig) -> None:
    what = ""
    if not isinstance(config, LlamaConfig):
        what = "this decoder is no LLaMA"
    elif config.rope_grid:
        what = f"it turns by rows and columns (config.model.rope_grid={config.rope_grid})"
    elif config.qk_norm:
        what = "it normalises queries and keys (config.model.qk_norm=True)"
    if what:
        raise ConfigError(
            f"Only a plain LLaMA can be exported as LlamaForCausalLM, and {what}; from_pretrained works"
        )


def from_hugging_face(settings: Mapping[str, Any], tensors: Tensors) -> tuple[dict[str, Any], Params]:
    """Returns (keys of `config.model`, parameters) of a `LlamaForCausalLM`.

    Args:
      settings: its config.json.
      tensors: by their names; float32, or any dtype that converts to it.

    Raises:
      CheckpointError: if it is another architecture, has what ours hasn't (biases, scaled rotation), a tensor is
        missing, unknown, or of another size than the others make it, or config.json contradicts the tensors.
    """
    _check(settings)
    tied = bool(settings.get("tie_word_embeddings", False))
    left = {name: array for name, array in tensors.items() if not name.endswith("rotary_emb.inv_freq")}
    if tied:
        left.pop("lm_head.weight", None)
    sizes = _infer_sizes(settings, left)

    def take(name: str, *letters: tuple[str, ...]) -> np.ndarray:
        """Returns one of their tensors, whose axes are products of the sizes that the letters stand for."""
        array = np.asarray(_find(left, name), np.float32)
        del left[name]
        shape = tuple(math.prod(sizes[letter] for letter in axis) for axis in letters)
        if array.shape != shape:
            raise CheckpointError(f"{name} has shape {array.shape}, and the other tensors make it {shape}")
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
        "d_model": sizes["D"],
        "heads": sizes["N"],
        "kv_heads": sizes["K"],
        "head_dim": sizes["H"],
        "d_ff": sizes["M"],
        "rope_base": number({"rope_theta": 10_000.0, **settings, **_rotation(settings)}, "rope_theta"),
        "norm_eps": number(settings, "rms_norm_eps"),
        "tied_head": tied,
    }, params


def _infer_sizes(settings: Mapping[str, Any], tensors: Tensors) -> dict[str, int]:
    """Returns the sizes that the tensors have; only how wide a head is can't be seen in them.

    Raises:
      CheckpointError: if a tensor that says a size is missing, or config.json says another.
    """
    numbers = [int(found[1]) for name in tensors if (found := re.match(r"model\.layers\.(\d+)\.", name))]
    vocabulary, width = _find(tensors, "model.embed_tokens.weight").shape
    wide, narrow, hidden = (
        len(_find(tensors, _LAYER.format(layer=0, name=f"{part}_proj")))
        for part in ("self_attn.q", "self_attn.k", "mlp.gate")
    )
    if settings.get("head_dim") is not None:
        head = int(number(settings, "head_dim"))
    else:
        head = width // max(int(number(settings, "num_attention_heads")), 1)
    if head < 1 or wide % head or narrow % head:
        raise CheckpointError(
            f"config.json makes a head {head} wide (head_dim, or hidden_size / num_attention_heads), and queries of "
            f"{wide} and keys of {narrow} are not whole numbers of such heads"
        )
    sizes = {
        "L": max(numbers) + 1, "V": vocabulary, "D": width, "N": wide // head, "K": narrow // head, "H": head,
        "M": hidden,
    }  # fmt: skip
    check_sizes(settings, {key: sizes[letter] for letter, key in _SIZES.items()})
    return sizes


def _find(tensors: Tensors, name: str) -> np.ndarray:
    """Returns a matrix, or the gains of a norm.

    Raises:
      CheckpointError: if it isn't there, or is something else.
    """
    if name not in tensors:
        raise CheckpointError(f"The tensor {name!r} is missing from the file")
    dimensions = 1 if "norm" in name else 2
    if tensors[name].ndim != dimensions:
        raise CheckpointError(f"{name} has shape {tensors[name].shape}, not {dimensions} dimensions")
    return tensors[name]


def _rotation(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    found = settings.get("rope_parameters") or settings.get("rope_scaling") or {}
    if not isinstance(found, Mapping):
        raise CheckpointError(f"config.json says rope_parameters={found!r}, which are no settings")
    return found


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
