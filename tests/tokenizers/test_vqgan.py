"""VQGAN as a network and as a tokenizer; test_vqgan_reference.py compares its numbers with the published code."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.tokenizers.tiny_vqgan import SIZES, tiny_vqgan
from toto_jax.errors import ConfigError, DataError
from toto_jax.sharding.rules import shardings
from toto_jax.tokenizers.frame_tokenizer import FrameTokenizer
from toto_jax.tokenizers.loading import load_tokenizer, save_tokenizer
from toto_jax.tokenizers.vqgan import to_pixels, to_unit_range
from toto_jax.tokenizers.vqgan_layers import GroupNorm
from toto_jax.tree import count

TWO_CODES = {"quantizer": "lfq", "code_width": 8, "codes_per_position": 2, "codebook_size": 32}
KINDS: dict[str, dict[str, Any]] = {
    "vq": {},
    "fsq": {"quantizer": "fsq", "levels": (4, 3, 5), "code_width": 3, "codebook_size": 60},
    "two codes": TWO_CODES,
}


def video(size: int = 16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 3, size, size, 3)).astype(np.uint8)


def test_the_published_sizes() -> None:
    """29.30M, 42.45M and 4.19M as counted of the original with 16,384 codes, convolutions around codes left out."""
    published = tiny_vqgan(
        codebook_size=16_384, code_width=256, halvings=4, width=128, multipliers=(1, 1, 2, 2, 4), blocks=2,
        attention=(4,), latent=256,
    )  # fmt: skip
    shapes = jax.eval_shape(published.init, jax.random.key(0))
    around = 256 * 256 + 256
    assert count(shapes["encoder"]) - around == pytest.approx(29.30e6, abs=5e3)
    assert count(shapes["decoder"]) - around == pytest.approx(42.45e6, abs=5e3)
    assert count(shapes["quantizer"]) == 16_384 * 256


@pytest.mark.parametrize("kind", KINDS)
def test_frames_become_codes_and_frames_again_and_the_same_after_saving(
    kind: str, tmp_path: pathlib.Path
) -> None:
    network = tiny_vqgan(**KINDS[kind])
    params = jax.jit(network.init)(jax.random.key(0))
    tokenizer = FrameTokenizer(network, params)
    codes = tokenizer.encode(video())
    columns = 4 * network.config.codes_per_position
    assert (codes.shape, codes.dtype) == ((2, 3, 4, columns), np.int32)
    assert (4, columns) == tokenizer.spec.grid(16, 16)
    assert 0 <= codes.min() <= codes.max() < network.config.codebook_size
    decoded = tokenizer.decode(codes)
    assert (decoded.shape, decoded.dtype) == (video().shape, np.uint8)
    save_tokenizer(tmp_path, network, params, licence="MIT")
    loaded = load_tokenizer(tmp_path)
    assert (loaded.spec.licence, loaded.spec.content_hash) == ("MIT", tokenizer.spec.content_hash)
    np.testing.assert_array_equal(loaded.encode(video()), codes)
    np.testing.assert_array_equal(loaded.decode(codes), decoded)


def test_codes_of_the_wrong_vocabulary_are_refused() -> None:
    network = tiny_vqgan(**TWO_CODES)
    tokenizer = FrameTokenizer(network, network.init(jax.random.key(0)))
    assert tokenizer.spec.vocabularies == (16, 16)
    codes = tokenizer.encode(video())
    with pytest.raises(DataError, match=r"vocabularies of \[16, 16\] in turn"):
        tokenizer.decode(codes[..., ::-1])


def test_pixels_keep_their_values_through_the_networks_range() -> None:
    pixels = jnp.arange(256, dtype=jnp.uint8)
    assert float(to_unit_range(pixels).min()) == -1
    assert float(to_unit_range(pixels).max()) == 1
    np.testing.assert_array_equal(to_pixels(to_unit_range(pixels)), pixels)
    np.testing.assert_array_equal(to_pixels(jnp.array([-7.0, 7.0])), [0, 255])


def test_a_group_norm_is_a_standard_score_of_its_group() -> None:
    from flax import nnx

    x = 3 + 2 * np.random.default_rng(0).normal(size=(2, 3, 5, 64)).astype(np.float32)
    found = np.asarray(GroupNorm(64, nnx.Rngs(0))(jnp.asarray(x)))
    group = x[1, :, :, 10:12]
    wanted = (group - group.mean()) / np.sqrt(group.var() + 1e-6)
    np.testing.assert_allclose(found[1, :, :, 10:12], wanted, atol=1e-5)


def test_every_parameter_is_laid_over_a_mesh() -> None:
    network = tiny_vqgan()
    mesh = jax.make_mesh((1,) * 5, ("slice", "data", "fsdp", "sequence", "tensor"))
    shapes = jax.eval_shape(network.init, jax.random.key(0))
    assert jax.tree.structure(shardings(mesh, network.logical_axes(), shapes)) == jax.tree.structure(shapes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 48}, "width=48 doesn't divide into the 32 groups.*; 64 would"),
        ({"multipliers": (1, 2)}, r"multipliers=\(1, 2\) are for 1 halvings, and .*halvings=2"),
        ({"attention": (3,)}, r"attention among 0\.\.2"),
        ({"blocks": 0}, "blocks must be 1 or more"),
    ],
)
def test_sizes_that_do_not_fit_say_what_would(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tiny_vqgan(**changes)


def test_the_settings_of_a_saved_one_are_enough_to_build_it_again() -> None:
    network = tiny_vqgan()
    spec = FrameTokenizer(network, network.init(jax.random.key(0))).spec
    assert spec.architecture == {
        name: list(value) if isinstance(value, tuple) else value for name, value in SIZES.items()
    }
