"""A `GPT2LMHeadModel` of Hugging Face as ours.

Theirs: `transformer.h.0.attn.c_attn.weight` (in, out), with queries, keys and values side by side.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from toto_jax.errors import CheckpointError
from toto_jax.interop.conversion import Tensors
from toto_jax.interop.hf_reader import Reader, check_settings, check_sizes, number
from toto_jax.tree import Params

_PARTS = ("query", "key", "value")
_WANTED = {
    "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
}


def from_hugging_face(settings: Mapping[str, Any], tensors: Tensors) -> tuple[dict[str, Any], Params]:
    """Returns (keys of `config.model`, parameters) of a `GPT2LMHeadModel`.

    Args:
      settings: its config.json.
      tensors: by their names; float32, or any dtype that converts to it.

    Raises:
      CheckpointError: if it is another architecture or variant, a tensor is missing, unknown, or of another size than
        the others make it, or config.json contradicts the tensors.
    """
    check_settings(settings, "gpt2", _WANTED)
    reader = Reader(tensors, "transformer.", "h.{}.")
    tied = bool(settings.get("tie_word_embeddings", True))
    reader.drop(".attn.bias", ".attn.masked_bias", *(["lm_head.weight"] if tied else []))
    vocabulary, width = reader.size("wte.weight", 0), reader.size("wte.weight", 1)
    positions, hidden = reader.size("wpe.weight", 0), reader.size("mlp.c_fc.weight", 1)
    heads = int(number(settings, "n_head"))
    if heads < 1 or width % heads:
        raise CheckpointError(f"config.json says n_head={heads}, and a width of {width} is no multiple of it")
    sizes = {"n_embd": width, "n_layer": reader.depth, "n_positions": positions, "n_inner": hidden}
    check_sizes(settings, {**sizes, "vocab_size": vocabulary})
    head_dim = width // heads

    def norm(name: str) -> dict[str, np.ndarray]:
        return {"gain": reader.stack(f"{name}.weight", width), "bias": reader.stack(f"{name}.bias", width)}

    kernels = np.split(reader.stack("attn.c_attn.weight", width, 3 * width), 3, axis=2)
    biases = np.split(reader.stack("attn.c_attn.bias", 3 * width), 3, axis=1)
    attention = {name: x.reshape(-1, width, heads, head_dim) for name, x in zip(_PARTS, kernels, strict=True)}
    attention |= {
        f"{name}_bias": x.reshape(-1, heads, head_dim) for name, x in zip(_PARTS, biases, strict=True)
    }
    attention["output"] = reader.stack("attn.c_proj.weight", width, width).reshape(-1, heads, head_dim, width)
    attention["output_bias"] = reader.stack("attn.c_proj.bias", width)
    mlp = {
        "up": reader.stack("mlp.c_fc.weight", width, hidden),
        "up_bias": reader.stack("mlp.c_fc.bias", hidden),
        "down": reader.stack("mlp.c_proj.weight", hidden, width),
        "down_bias": reader.stack("mlp.c_proj.bias", width),
    }
    params = {
        "embedding": reader.take("wte.weight", vocabulary, width),
        "positions": reader.take("wpe.weight", positions, width),
        "final_norm": {"gain": reader.take("ln_f.weight", width), "bias": reader.take("ln_f.bias", width)},
        "layers": {
            "attention_norm": norm("ln_1"),
            "attention": attention,
            "mlp_norm": norm("ln_2"),
            "mlp": mlp,
        },
    }
    if not tied:
        params["head"] = reader.take("lm_head.weight", vocabulary, width).T
    reader.finish()
    return {
        "layers": reader.depth,
        "d_model": width,
        "heads": heads,
        "kv_heads": heads,
        "head_dim": head_dim,
        "d_ff": hidden,
        "positions": positions,
        "norm_eps": number(settings, "layer_norm_epsilon", 1e-5),
        "tied_head": tied,
    }, params
