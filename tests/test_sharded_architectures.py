"""GPT-2, Mamba and LLaMA's options on eight devices: what one device teaches them."""

import functools

import numpy as np
import pytest

from tests.models.test_stacked import build
from tests.test_sharded_training import train
from toto_jax.sharding.mesh import MeshConfig
from toto_jax.tasks.next_token import NextToken, NextTokenConfig
from toto_jax.video import ClipGeometry

SIZES = {
    "layers": 2, "d_model": 32, "heads": 4, "kv_heads": 4, "head_dim": 8, "d_ff": 64, "channels": 64, "positions": 20,
    "init_std": 0.1, "remat": "full",
}  # fmt: skip


def task(family: str) -> NextToken:
    grid = {"rope_grid": (3, 3)} if family == "options" else {}
    decoder = build(family, **SIZES, vocabulary_multiple=8, **grid)[0]
    vocabulary = 64
    decoder = type(decoder)(decoder.config, vocabulary)
    return NextToken(decoder, ClipGeometry(2, 3, 3), NextTokenConfig(True, loss_chunks=2))


@functools.cache
def one_device(family: str) -> tuple[list[float], dict[str, np.ndarray]]:
    return train(task(family), MeshConfig(1, 1, 1, 1, 1), 1)


@pytest.mark.parametrize(
    ("family", "mesh"),
    [
        ("options", MeshConfig(1, 2, 1, 2, 2)),
        ("gpt2", MeshConfig(1, 1, 2, 2, 2)),
        ("mamba", MeshConfig(2, 1, 2, 1, 2)),
        ("mamba", MeshConfig(1, 2, 1, 4, 1)),
    ],
    ids=str,
)
def test_eight_devices_teach_what_one_does(family: str, mesh: MeshConfig) -> None:
    numbers, params = one_device(family)
    spread_numbers, spread_params = train(task(family), mesh, 8)
    np.testing.assert_allclose(numbers, spread_numbers, rtol=2e-5)
    for key, values in params.items():
        if not key.endswith("key_bias"):  # whose gradient is rounding
            np.testing.assert_allclose(values, spread_params[key], rtol=1e-3, atol=3e-5, err_msg=key)
