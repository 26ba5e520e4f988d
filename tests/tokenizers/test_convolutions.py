"""Convolutions against sums written out in NumPy; pooling and doubling by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from toto_jax.models.functional import Functional
from toto_jax.tokenizers.convolutions import Conv, ResidualBlock, double, flat_normal, halve


def convolve(x_NHWC: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Sums kernel taps over zero-padded shifts, in float64."""
    size = kernel.shape[0]
    border = size // 2
    height, width = x_NHWC.shape[1:3]
    padded = np.pad(np.asarray(x_NHWC, np.float64), ((0, 0), (border, border), (border, border), (0, 0)))
    out = np.zeros((*x_NHWC.shape[:3], kernel.shape[3])) + bias
    for row, column in np.ndindex(size, size):
        out += padded[:, row : row + height, column : column + width] @ np.asarray(
            kernel[row, column], np.float64
        )
    return out


@pytest.mark.parametrize(("size", "channels_in"), [(1, 5), (3, 5), (7, 3), (3, 3)])
def test_conv_sums_over_its_window(size: int, channels_in: int) -> None:
    conv = Functional(functools.partial(Conv, size, channels_in, 4))
    params = conv.init(jax.random.key(0))
    params["bias"] = jnp.arange(4.0)
    x_NHWC = jax.random.normal(jax.random.key(1), (2, 6, 8, channels_in))
    got = conv.bind(params)(x_NHWC)
    np.testing.assert_allclose(got, convolve(x_NHWC, params["kernel"], params["bias"]), atol=1e-5)


def test_conv_starts_out_keeping_the_variance_through_a_relu() -> None:
    """Half of a ReLU's inputs are cut off: x with mean square 1 becomes a mean square of 1/2."""
    conv = Functional(functools.partial(Conv, 3, 256, 256))
    params = conv.init(jax.random.key(0))
    assert not params["bias"].any()
    x_NHWC = jax.random.normal(jax.random.key(1), (2, 8, 8, 256))
    inner_NHWC = conv.bind(params)(nnx.relu(x_NHWC))[:, 1:-1, 1:-1]
    assert jnp.square(inner_NHWC).mean() == pytest.approx(1, rel=0.05)


def test_flat_draws_are_the_usual_draws() -> None:
    key, shape = jax.random.key(7), (3, 3, 5, 2)
    usual = nnx.initializers.normal(0.3)(key, shape, jnp.float32)
    np.testing.assert_allclose(flat_normal(0.3)(key, shape, jnp.float32), usual, rtol=1e-6)


def test_halving_takes_the_largest_and_doubling_repeats() -> None:
    x_NHWC = jnp.array([[1, 5, 0, 0], [2, 3, 0, 9], [4, 4, 7, 6], [4, 4, 8, 1]], jnp.float32)[
        None, :, :, None
    ]
    np.testing.assert_array_equal(halve(x_NHWC)[0, :, :, 0], [[5, 9], [4, 8]])
    small = jnp.array([[1, 2], [3, 4]], jnp.float32)[None, :, :, None]
    repeated = [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]
    np.testing.assert_array_equal(double(small)[0, :, :, 0], repeated)


@pytest.mark.parametrize("channels_in", [8, 12])
def test_a_block_that_doubles_equals_one_that_is_given_the_doubled(channels_in: int) -> None:
    """With and without a convolution in the identity's place."""

    def block(doubles: bool) -> Functional[ResidualBlock]:
        return Functional(
            lambda rngs: ResidualBlock((1, 3, 3, 3), channels_in, 8, 0.25, rngs, doubles=doubles)
        )

    params = block(True).init(jax.random.key(0))
    x_NHWC = jax.random.normal(jax.random.key(1), (2, 4, 6, channels_in))
    got = block(True).bind(params)(x_NHWC)
    assert got.shape == (2, 8, 12, 8)
    np.testing.assert_allclose(got, block(False).bind(params)(double(x_NHWC)), atol=1e-5)


def test_the_gain_is_that_of_the_path_alone() -> None:
    """Twice the gain is twice the distance from the identity."""
    x_NHWC = jax.random.normal(jax.random.key(1), (1, 4, 4, 8))
    near, far = (
        Functional(lambda rngs, gain=gain: ResidualBlock((3, 3, 3, 1), 8, 8, gain, rngs))
        for gain in (0.1, 0.2)
    )
    params = near.init(jax.random.key(0))
    step = near.bind(params)(x_NHWC) - x_NHWC
    assert np.abs(step).max() > 1e-3
    np.testing.assert_allclose(far.bind(params)(x_NHWC) - x_NHWC, 2 * step, atol=1e-5)


def test_doubling_ahead_of_a_wide_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="1x1"):
        ResidualBlock((3, 3, 3, 3), 8, 8, 0.1, nnx.Rngs(0), doubles=True)
