"""A `MambaForCausalLM` of Hugging Face as ours.

Theirs: `backbone.layers.0.mixer.in_proj.weight` (out, in), with inputs and gates side by side.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from toto_jax.interop.conversion import Tensors
from toto_jax.interop.hf_reader import Reader, check_settings, check_sizes, number
from toto_jax.tree import Params

_WANTED = {"hidden_act": ("silu",), "use_bias": (False,), "use_conv_bias": (True,)}


def from_hugging_face(settings: Mapping[str, Any], tensors: Tensors) -> tuple[dict[str, Any], Params]:
    """Returns (keys of `config.model`, parameters) of a `MambaForCausalLM`.

    Args:
      settings: its config.json.
      tensors: by their names; float32, or any dtype that converts to it.

    Raises:
      CheckpointError: if it is another architecture or variant, a tensor is missing, unknown, or of another size than
        the others make it, or config.json contradicts the tensors.
    """
    check_settings(settings, "mamba", _WANTED)
    reader = Reader(tensors, "backbone.", "layers.{}.")
    tied = bool(settings.get("tie_word_embeddings", True))
    reader.drop(*(["lm_head.weight"] if tied else []))
    vocabulary, width = reader.size("embeddings.weight", 0), reader.size("embeddings.weight", 1)
    state, channels = reader.size("mixer.A_log", 1), reader.size("mixer.A_log", 0)
    rank, convolution = reader.size("mixer.dt_proj.weight", 1), reader.size("mixer.conv1d.weight", 2)
    sizes = {
        "hidden_size": width,
        "num_hidden_layers": reader.depth,
        "state_size": state,
        "vocab_size": vocabulary,
    }
    check_sizes(settings, {**sizes, "conv_kernel": convolution, "time_step_rank": rank})

    def kernel(name: str, outputs: int, inputs: int) -> np.ndarray:
        return reader.stack(f"mixer.{name}.weight", outputs, inputs).swapaxes(1, 2)

    inputs, gates = np.split(kernel("in_proj", 2 * channels, width), 2, axis=2)
    layers = {
        "norm": {"gain": reader.stack("norm.weight", width)},
        "input": inputs,
        "gate": gates,
        "kernel": reader.stack("mixer.conv1d.weight", channels, 1, convolution)[:, :, 0].swapaxes(1, 2),
        "kernel_bias": reader.stack("mixer.conv1d.bias", channels),
        "select": kernel("x_proj", rank + 2 * state, channels),
        "step": kernel("dt_proj", channels, rank),
        "step_bias": reader.stack("mixer.dt_proj.bias", channels),
        "rates": reader.stack("mixer.A_log", channels, state).swapaxes(1, 2),
        "skip": reader.stack("mixer.D", channels),
        "output": kernel("out_proj", width, channels),
    }
    params = {
        "embedding": reader.take("embeddings.weight", vocabulary, width),
        "final_norm": {"gain": reader.take("norm_f.weight", width)},
        "layers": layers,
    }
    if not tied:
        params["head"] = reader.take("lm_head.weight", vocabulary, width).T
    reader.finish()
    return {
        "layers": reader.depth,
        "d_model": width,
        "channels": channels,
        "state": state,
        "step_rank": rank,
        "convolution": convolution,
        "norm_eps": number(settings, "layer_norm_epsilon", 1e-5),
        "tied_head": tied,
    }, params
