"""LPIPS by its definition; test_perceptual_reference.py compares with PyTorch."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.tokenizers.random_lpips import random_lpips
from toto_jax.errors import CheckpointError
from toto_jax.tokenizers.perceptual import abstract, load_perceptual, perceptual, save_perceptual
from toto_jax.tokenizers.weights_file import WEIGHTS_NAME
from toto_jax.tree import count

PICTURES = np.random.default_rng(0).uniform(-1, 1, (2, 3, 16, 17, 3)).astype(np.float32)


def test_the_size_is_vgg16s() -> None:
    """14,714,688 in the convolutions of VGG16 as published, and a weight for each of 1,472 channels."""
    assert count(abstract()) == 14_714_688 + 64 + 128 + 256 + 512 + 512


def test_distances() -> None:
    """Zero to itself, symmetric, linear in the heads, and each picture by itself."""
    params = random_lpips()

    @jax.jit
    def distance(params: object, x: jax.Array, y: jax.Array) -> jax.Array:
        network = perceptual().bind(params)
        return network.distance(network.features(x), network.features(y))

    x, y = PICTURES
    found = distance(params, x, y)
    assert found.shape == (3,)
    assert (found > 0).all()
    np.testing.assert_allclose(distance(params, x, x), 0, atol=1e-12)
    np.testing.assert_allclose(distance(params, y, x), found, rtol=1e-5)
    swapped = distance(params, x, np.concatenate([y[:1], x[1:]]))
    np.testing.assert_allclose(swapped, [found[0], 0, 0], rtol=1e-5, atol=1e-7)
    doubled = {name: 2 * leaf if name.startswith("head") else leaf for name, leaf in params.items()}
    np.testing.assert_allclose(distance(doubled, x, y), 2 * found, rtol=1e-5)
    slope = jax.grad(lambda y: distance(params, x, y).sum())(jnp.asarray(x))
    np.testing.assert_allclose(slope, 0, atol=1e-7, err_msg="at the minimum")


def test_where_nothing_is_active_there_is_no_nan() -> None:
    network = perceptual().bind(jax.tree.map(jnp.zeros_like, random_lpips()))
    x, y = map(jnp.asarray, PICTURES)

    def distance(y: jax.Array) -> jax.Array:
        return network.distance(network.features(x), network.features(y)).sum()

    value, slope = jax.jit(jax.value_and_grad(distance))(y)
    assert float(value) == 0
    np.testing.assert_array_equal(slope, 0)


def test_a_folder_gives_back_what_was_saved(tmp_path: pathlib.Path) -> None:
    params = random_lpips()
    save_perceptual(tmp_path / "lpips", params)
    jax.tree.map(np.testing.assert_array_equal, load_perceptual(tmp_path / "lpips"), params)
    with pytest.raises(CheckpointError, match="weights.safetensors is missing; import VGG16 and the heads"):
        load_perceptual(tmp_path)
    (tmp_path / WEIGHTS_NAME).write_text("<html>")
    with pytest.raises(CheckpointError, match="damaged or cut short"):
        load_perceptual(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"not those of LPIPS:\n  head_5: missing instead of float32 \(512,\)"
    ):
        save_perceptual(tmp_path, {name: leaf for name, leaf in params.items() if name != "head_5"})
