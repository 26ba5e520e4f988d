"""Names and sizes of taming's VQGAN without PyTorch; test_taming_reference.py reads what its code wrote."""

import pathlib
from typing import Any

import jax
import numpy as np
import pytest

from tests.interop.torch_writer import tensor, write_zip
from tests.tokenizers.tiny_vqgan import tiny_vqgan
from toto_jax.errors import CheckpointError
from toto_jax.interop.taming import _check_settings, import_taming, infer_config, their_name
from toto_jax.tree import named_leaves

NETWORK = tiny_vqgan(attention=(0, 2), blocks=2)


def write(path: pathlib.Path, params: Any, drop: str = "", prefix: str = "state_dict") -> pathlib.Path:
    """Writes the parameters in taming's names and order, in a Lightning checkpoint."""
    arrays = {}
    for name, leaf in named_leaves(params).items():
        array = np.asarray(leaf)
        arrays[their_name(name)] = np.ascontiguousarray(
            array.transpose(3, 2, 0, 1) if array.ndim == 4 else array
        )
    arrays.pop(drop, None)
    storages = {str(number): array for number, array in enumerate(arrays.values())}
    state = {name: tensor(str(number), array) for number, (name, array) in enumerate(arrays.items())}
    write_zip(path, {"epoch": 1, prefix: state} if prefix else state, storages)
    return path


@pytest.mark.parametrize("prefix", ["state_dict", ""])
def test_sizes_and_values_are_read_off_the_tensors(tmp_path: pathlib.Path, prefix: str) -> None:
    params = NETWORK.init(jax.random.key(0))
    found, got = import_taming(write(tmp_path / "last.ckpt", params, prefix=prefix), None)
    assert found == NETWORK
    jax.tree.map(np.testing.assert_array_equal, got, params)


def test_names_are_the_published_ones() -> None:
    names = {
        "encoder/input/kernel": "encoder.conv_in.weight",
        "encoder/level_1_block_2/shortcut/bias": "encoder.down.1.block.1.nin_shortcut.bias",
        "encoder/level_0_halve/kernel": "encoder.down.0.downsample.conv.weight",
        "encoder/middle/attention/output/kernel": "encoder.mid.attn_1.proj_out.weight",
        "encoder/middle/block_2/norm_1/gain": "encoder.mid.block_2.norm1.weight",
        "encoder/norm/bias": "encoder.norm_out.bias",
        "encoder/to_code/kernel": "quant_conv.weight",
        "decoder/from_code/bias": "post_quant_conv.bias",
        "decoder/level_2_attention_3/query/kernel": "decoder.up.2.attn.2.q.weight",
        "decoder/level_2_double/bias": "decoder.up.2.upsample.conv.bias",
        "decoder/output/kernel": "decoder.conv_out.weight",
        "quantizer/codebook": "quantize.embedding.weight",
    }
    assert {ours: their_name(ours) for ours in names} == names


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        ("quantize.embedding.weight", "no VQGAN of taming-transformers: it has no quantize.embedding.weight"),
        ("encoder.down.1.block.0.conv2.weight", "it has no encoder.down.1.block.0.conv2.weight"),
        ("encoder.conv_out.weight", "it has no encoder.conv_out.weight"),
        ("decoder.mid.attn_1.k.bias", r"decoder\.mid\.attn_1\.k\.bias: missing instead of \(64,\)"),
    ],
)
def test_what_is_missing_is_named(tmp_path: pathlib.Path, drop: str, message: str) -> None:
    path = write(tmp_path / "last.ckpt", NETWORK.init(jax.random.key(0)), drop)
    with pytest.raises(CheckpointError, match=message):
        import_taming(path, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: {}", "it lacks 'params'"),
        ("model: {params: {n_embed: 32, embed_dim: 6, ddconfig: {ch: 32}}}", "it lacks 'ch_mult'"),
        ("model: nothing", "is not the YAML of a VQGAN"),
        ("[", "is not the YAML of a VQGAN"),
    ],
)
def test_settings_that_lack_something_are_told(tmp_path: pathlib.Path, text: str, message: str) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(text)
    with pytest.raises(CheckpointError, match=message):
        _check_settings(path, NETWORK.config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder.conv_in.weight": (16, 3, 3, 3)}, "sizes that our VQGAN can't have: .*width=16 doesn't divide"),
        ({"encoder.conv_in.weight": (32, 3)}, r"conv_in.weight has shape \(32, 3\), not 4 dimensions"),
        ({"encoder.conv_in.weight": (0, 3, 3, 3)}, r"conv_in.weight has shape \(0, 3, 3, 3\)"),
        ({"encoder.down.0.block.0.conv2.weight": (48, 32, 3, 3)}, r"levels, \[48\], are no multiples of .* 32"),
        ({"quantize.embedding.weight": (8,)}, r"shape \(8,\), not 2 dimensions"),
        ({"quantize.embed.weight": (8, 4)}, "it has a Gumbel quantizer"),
    ],
)  # fmt: skip
def test_sizes_that_can_not_be_are_told(changes: dict[str, tuple[int, ...]], message: str) -> None:
    shapes = {
        "quantize.embedding.weight": (8, 4), "encoder.conv_in.weight": (32, 3, 3, 3),
        "encoder.down.0.block.0.conv2.weight": (32, 32, 3, 3), "encoder.conv_out.weight": (6, 32, 3, 3),
    }  # fmt: skip
    assert infer_config({name: np.zeros(shape) for name, shape in shapes.items()}, "it").width == 32
    with pytest.raises(CheckpointError, match=message):
        infer_config({name: np.zeros(shape) for name, shape in (shapes | changes).items()}, "it")
