"""Quantizers against brute force, closed forms, and their own way back."""

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from toto_jax.errors import ConfigError
from toto_jax.tokenizers.quantizers import QuantizerConfig, build_quantizer

BASE = {
    "codebook_size": 16, "quantizer": "vq", "code_width": 3, "normalize": False, "levels": (), "codes_per_position": 1,
}  # fmt: skip
KINDS = {
    "vq": {},
    "normalised vq": {"normalize": True},
    "fsq": {"quantizer": "fsq", "levels": (4, 3, 5), "codebook_size": 60},
    "lfq": {"quantizer": "lfq", "codebook_size": 8},
    "bsq": {"quantizer": "bsq", "codebook_size": 8},
    "two codes": {"quantizer": "lfq", "code_width": 6, "codes_per_position": 2, "codebook_size": 16},
}


def make(name: str, **changes: Any) -> Any:
    config = QuantizerConfig(**(BASE | KINDS[name] | changes))
    quantizer = build_quantizer(config, nnx.Rngs(0))
    if config.quantizer == "vq":
        quantizer.codebook[...] = jax.random.normal(
            jax.random.key(1), (config.codebook_size, config.code_width)
        )
    return quantizer


def latents(width: int = 3, rows: int = 5, columns: int = 7) -> jax.Array:
    return 1.5 * jax.random.normal(jax.random.key(2), (2, rows, columns, width))


@pytest.mark.parametrize("normalise", [False, True])
def test_the_nearest_vector_is_taken(normalise: bool) -> None:
    quantizer, z = make("normalised vq" if normalise else "vq"), latents()
    table, points = np.asarray(quantizer.codebook[...]), np.asarray(z)
    if normalise:
        table = table / np.linalg.norm(table, axis=-1, keepdims=True)
        points = points / np.linalg.norm(points, axis=-1, keepdims=True)
    wanted = np.square(points[..., None, :] - table).sum(-1).argmin(-1)
    found = quantizer(z)
    np.testing.assert_array_equal(found.codes_Nhw, wanted)
    np.testing.assert_allclose(found.chosen_NhwE, table[wanted], atol=1e-6)
    np.testing.assert_allclose(found.latents_NhwE, points, atol=1e-6)


@pytest.mark.parametrize("name", KINDS)
def test_codes_give_the_vectors_that_the_decoder_saw(name: str) -> None:
    quantizer = make(name)
    found = quantizer(latents(6 if name == "two codes" else 3))
    np.testing.assert_allclose(quantizer.vectors(found.codes_Nhw), found.vectors_NhwE, atol=1e-6)
    assert found.codes_Nhw.dtype == jnp.int32


@pytest.mark.parametrize("name", ["vq", "normalised vq", "lfq", "bsq"])
def test_every_code_is_the_code_of_its_own_vector(name: str) -> None:
    quantizer = make(name)
    codes = jnp.arange(16 if "vq" in name else 8)[None, None]
    np.testing.assert_array_equal(quantizer(quantizer.vectors(codes)).codes_Nhw, codes)


def test_scalar_levels_worked_out() -> None:
    """Of 4 levels -2..1 and of 5 levels -2..2, over 2; zero lies on the boundary's upper side, code 2 of both."""
    quantizer = make("fsq", levels=(4, 5), code_width=2, codebook_size=20)
    z = jnp.array([[-9.0, -9.0], [9.0, -9.0], [-9.0, 9.0], [9.0, 9.0], [0.0, 0.0]])[None, None]
    found = quantizer(z)
    wanted = [[-1, -1], [0.5, -1], [-1, 1], [0.5, 1], [0, 0]]
    np.testing.assert_allclose(found.vectors_NhwE[0, 0], wanted, atol=1e-6)
    np.testing.assert_array_equal(found.codes_Nhw[0, 0], [0, 3, 16, 19, 2 + 4 * 2])


def test_scalar_codes_are_all_reached_and_each_once() -> None:
    quantizer = make("fsq")
    grid = np.linspace(-4, 4, 161)
    z = jnp.asarray(np.stack(np.meshgrid(grid, grid, grid), -1).reshape(1, 161, -1, 3), jnp.float32)
    found = quantizer(z)
    codes, first = np.unique(np.asarray(found.codes_Nhw), return_index=True)
    assert list(codes) == list(range(60))
    vectors = np.asarray(found.chosen_NhwE).reshape(-1, 3)[first]
    assert len(np.unique(vectors, axis=0)) == 60


def test_signs_are_bits_and_the_first_is_the_least() -> None:
    signs = np.array(list(itertools.product([-1, 1], repeat=3)))
    wanted = ((signs > 0) * [1, 2, 4]).sum(-1)
    for name, scale in (("lfq", 1.0), ("bsq", 1 / math.sqrt(3))):
        found = make(name)(jnp.asarray(0.3 * signs)[None, None])
        np.testing.assert_array_equal(found.codes_Nhw[0, 0], wanted)
        np.testing.assert_allclose(found.chosen_NhwE[0, 0], scale * signs, atol=1e-6)


def test_codes_of_a_position_stand_side_by_side_in_vocabularies_of_their_own() -> None:
    signs = jnp.array([[1, -1, 1, -1, 1, 1], [-1, -1, -1, 1, -1, -1]])
    codes = make("two codes")(signs[None, None].astype(jnp.float32)).codes_Nhw
    np.testing.assert_array_equal(codes, [[[1 + 4, 8 + 2 + 4, 0, 8 + 1]]])


@pytest.mark.parametrize("name", ["vq", "lfq"])
def test_the_decoders_gradient_goes_straight_through(name: str) -> None:
    quantizer, weights = make(name), latents() * 3
    gradient = jax.grad(lambda z: (weights * quantizer(z).vectors_NhwE).sum())(latents())
    np.testing.assert_allclose(gradient, weights, rtol=1e-6)


def test_the_gradient_of_scalar_levels_is_that_of_the_tanh() -> None:
    """d/dz tanh(z) h / 2 at L = 5, where h = 2.002 and nothing is shifted."""
    quantizer = make("fsq", levels=(5,), code_width=1, codebook_size=5)
    z = jnp.array([0.3, -1.2])[None, None, :, None]
    gradient = jax.grad(lambda z: quantizer(z).vectors_NhwE.sum())(z)
    np.testing.assert_allclose(gradient, (1 - np.tanh(z) ** 2) * 2.002 / 2, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quantizer": "fsqq"}, "did you mean 'fsq'"),
        ({"quantizer": "fsq", "levels": (4, 4)}, r"levels=\(4, 4\) must be 3 numbers"),
        ({"quantizer": "fsq", "levels": (4, 4, 4)}, "codebook_size=16, but 'fsq' of these settings has 64"),
        ({"quantizer": "lfq"}, "codebook_size=16, but 'lfq' of these settings has 8"),
        ({"quantizer": "lfq", "codes_per_position": 2}, "code_width=3 bits don't divide into 2 codes"),
        ({"quantizer": "lfq", "normalize": True, "codebook_size": 8}, "normalize=True means nothing"),
        ({"levels": (4,)}, r"levels=\(4,\) means nothing to quantizer='vq'"),
        ({"codes_per_position": 2}, "codes_per_position=2 means nothing"),
        ({"codebook_size": 1}, "has 2 codes"),
        ({"code_width": 0}, "code_width and codes_per_position must be 1 or more"),
    ],
)  # fmt: skip
def test_settings_that_contradict_one_another_say_what_would_fit(changes: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        QuantizerConfig(**(BASE | changes))
