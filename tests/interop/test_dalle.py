"""Files in DALL-E's names, written without PyTorch; test_dalle_reference.py compares with the package."""

import pathlib
from typing import Any

import jax
import numpy as np
import pytest

from tests.interop.torch_writer import tensor, write_legacy, write_zip
from toto_jax.errors import CheckpointError
from toto_jax.interop.dalle import import_dalle, infer_config, their_name
from toto_jax.tokenizers.dvae import DVAE
from toto_jax.tokenizers.dvae_network import DVAEConfig
from toto_jax.tree import named_leaves

# Three halvings or one: the published files have three, and sizes are read off the tensors.
CONFIGS = [DVAEConfig(64, 8, 12, halvings=3, blocks=2), DVAEConfig(16, 16, 8, halvings=1, blocks=1)]


def write(
    folder: pathlib.Path, params: Any, drop: str = "", extra: bool = False
) -> tuple[pathlib.Path, pathlib.Path]:
    """Writes both halves of a dVAE as state dicts of PyTorch, one in each container."""
    for half, writer in (("encoder", write_zip), ("decoder", write_legacy)):
        arrays = {}
        for name, leaf in named_leaves(params[half]).items():
            array = np.asarray(leaf)
            arrays[their_name(name)] = np.ascontiguousarray(
                array.transpose(3, 2, 0, 1) if name.endswith("kernel") else array
            )
        arrays.pop(drop, None)
        if extra:
            arrays["blocks.extra.w"] = np.zeros((1, 1, 1, 1), np.float32)
        storages = {str(number): array for number, array in enumerate(arrays.values())}
        state = {name: tensor(str(number), array) for number, (name, array) in enumerate(arrays.items())}
        writer(folder / f"{half}.pkl", state, storages)
    return folder / "encoder.pkl", folder / "decoder.pkl"


@pytest.mark.parametrize("config", CONFIGS, ids=["three halvings", "one"])
def test_sizes_and_values_are_read_off_the_tensors(tmp_path: pathlib.Path, config: DVAEConfig) -> None:
    params = DVAE(config).init(jax.random.key(0))
    found, got = import_dalle(*write(tmp_path, params))
    assert found == DVAE(config)
    jax.tree.map(np.testing.assert_array_equal, got, params)


def test_names_are_the_published_ones() -> None:
    assert their_name("input/kernel") == "blocks.input.w"
    assert their_name("output/bias") == "blocks.output.conv.b"
    assert their_name("group_4_block_2/conv_3/kernel") == "blocks.group_4.block_2.res_path.conv_3.w"
    assert their_name("group_2_block_1/identity/bias") == "blocks.group_2.block_1.id_path.b"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"drop": "blocks.input.w"}, "encoder's file has no kernel 'blocks.input.w'"),
        ({"drop": "blocks.group_1.block_1.res_path.conv_2.b"}, r"conv_2\.b: missing instead of \(2,\)"),
        ({"extra": True}, r"blocks\.extra\.w: \(1, 1, 1, 1\) instead of nothing"),
    ],
)
def test_what_is_missing_or_too_much_is_named(
    tmp_path: pathlib.Path, changes: dict[str, Any], message: str
) -> None:
    params = DVAE(CONFIGS[0]).init(jax.random.key(0))
    with pytest.raises(CheckpointError, match=message):
        import_dalle(*write(tmp_path, params, **changes))


def test_the_decoder_is_no_encoder(tmp_path: pathlib.Path) -> None:
    encoder, decoder = write(tmp_path, DVAE(CONFIGS[0]).init(jax.random.key(0)))
    with pytest.raises(CheckpointError, match="give the encoder first, then the decoder"):
        import_dalle(decoder, encoder)


def test_a_width_that_our_blocks_can_not_have_is_told() -> None:
    encoder = {
        "blocks.input.w": np.zeros((6, 3, 7, 7)), "blocks.output.conv.w": np.zeros((16, 6, 1, 1)),
        "blocks.group_1.block_1.res_path.conv_1.w": np.zeros((1, 6, 3, 3)),
    }  # fmt: skip
    with pytest.raises(CheckpointError, match="our dVAE can't have: .*width=6 doesn't divide by 4"):
        infer_config(encoder, encoder)
