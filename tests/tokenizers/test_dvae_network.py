"""Sizes by closed forms and by the published counts; the pixel map by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toto_jax.errors import ConfigError
from toto_jax.tokenizers.dvae import DVAE
from toto_jax.tokenizers.dvae_network import DVAEConfig, map_pixels, reconstruction, unmap_pixels
from toto_jax.tree import count

PUBLISHED = DVAEConfig(codebook_size=8192, width=256, decoder_stem=128, halvings=3, blocks=2)


def block_size(channels_in: int, channels_out: int, sizes: tuple[int, ...]) -> int:
    """Parameters of a residual block."""
    hidden = channels_out // 4
    widths = (channels_in, hidden, hidden, hidden, channels_out)
    total = sum(k * k * a * b + b for k, a, b in zip(sizes, widths[:-1], widths[1:], strict=True))
    return total + (channels_in * channels_out + channels_out if channels_in != channels_out else 0)


def test_published_sizes() -> None:
    """The counts are those of the published weights, 74 and 76 tensors."""
    params = jax.eval_shape(DVAE(PUBLISHED).init, jax.random.key(0))
    assert count(params["encoder"]) == 53_786_240
    assert count(params["decoder"]) == 43_829_766
    assert (len(jax.tree.leaves(params["encoder"])), len(jax.tree.leaves(params["decoder"]))) == (74, 76)
    assert PUBLISHED.residual_gain == 1 / 64


@pytest.mark.parametrize("halvings", [0, 1, 2, 3])
@pytest.mark.parametrize("blocks", [1, 3])
def test_any_depth_has_the_closed_form_s_size(halvings: int, blocks: int) -> None:
    config = DVAEConfig(codebook_size=24, width=8, decoder_stem=12, halvings=halvings, blocks=blocks)
    params = jax.eval_shape(DVAE(config).init, jax.random.key(0))
    widths = [8 * 2**group for group in range(halvings + 1)]
    encoder = 49 * 3 * 8 + 8 + widths[-1] * 24 + 24
    for before, after in zip([8, *widths[:-1]], widths, strict=True):
        encoder += block_size(before, after, (3, 3, 3, 1)) + (blocks - 1) * block_size(
            after, after, (3, 3, 3, 1)
        )
    decoder = 24 * 12 + 12 + 8 * 6 + 6
    for before, after in zip([12, *widths[:0:-1]], widths[::-1], strict=True):
        decoder += block_size(before, after, (1, 3, 3, 3)) + (blocks - 1) * block_size(
            after, after, (1, 3, 3, 3)
        )
    assert (count(params["encoder"]), count(params["decoder"])) == (encoder, decoder)
    assert config.residual_gain == pytest.approx(1 / (blocks * (halvings + 1)) ** 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 30}, r"width=30 .* 4; 32 would"),
        ({"width": 0}, "width"),
        ({"halvings": -1}, "halvings must be 0 or more"),
        ({"blocks": 0}, "blocks must be 1 or more"),
        ({"codebook_size": 1}, "codebook_size"),
        ({"decoder_stem": 0}, "decoder_stem"),
    ],
)
def test_impossible_sizes_are_refused(changes: dict[str, int], message: str) -> None:
    sizes = {"codebook_size": 24, "width": 8, "decoder_stem": 12, "halvings": 2, "blocks": 1}
    with pytest.raises(ConfigError, match=message):
        DVAEConfig(**(sizes | changes))


def test_pixels_are_mapped_off_the_ends_and_back() -> None:
    """0.8 x + 0.1 of x in 0..1; what a decoder puts outside is clipped."""
    pixels = jnp.array([0, 51, 255], jnp.uint8)
    np.testing.assert_allclose(map_pixels(pixels), [0.1, 0.26, 0.9], atol=1e-6)
    every = jnp.arange(256, dtype=jnp.uint8)
    np.testing.assert_allclose(unmap_pixels(map_pixels(every)) * 255, np.arange(256), atol=1e-4)
    np.testing.assert_array_equal(unmap_pixels(jnp.array([0.05, 0.95])), [0, 1])


def test_a_picture_is_the_median_of_the_likelihood() -> None:
    """logit(0.5) = 0 is grey; logit(0.9) = ln 9 is white; scales don't matter."""
    maps_NHWM = jnp.array([0, np.log(9), -np.log(9), 5, -5, 0], jnp.float32)[None, None, None]
    np.testing.assert_allclose(reconstruction(maps_NHWM)[0, 0, 0], [0.5, 1, 0], atol=1e-6)
