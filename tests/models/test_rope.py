"""Rotary positions against complex rotation, which is what the formula abbreviates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toto_jax.models.rope import rotary_tables, rotate


@pytest.mark.parametrize("base", [10_000.0, 50_000.0])
def test_pairs_turn_as_complex_numbers(base: float) -> None:
    positions, size = np.array([0, 1, 259, 4095]), 8
    x_BTNH = np.random.default_rng(0).normal(size=(2, 4, 3, size))
    turned = rotate(jnp.asarray(x_BTNH), *rotary_tables((jnp.asarray(positions),), size, base))

    angles = positions[:, None] * base ** (-2 * np.arange(size // 2) / size)
    numbers = (x_BTNH[..., : size // 2] + 1j * x_BTNH[..., size // 2 :]) * np.exp(1j * angles)[:, None, :]
    expected = np.concatenate((numbers.real, numbers.imag), axis=-1)
    # float32 angles of some thousand radians are good to about 1e-4.
    np.testing.assert_allclose(turned, expected, atol=1e-3)
    np.testing.assert_allclose(turned[:, :2], expected[:, :2], atol=2e-6)


def test_scores_depend_on_distance_alone() -> None:
    q, k = jax.random.normal(jax.random.key(0), (2, 1, 1, 1, 16))

    def score(query_at: int, key_at: int) -> float:
        tables = [rotary_tables((jnp.array([at]),), 16, 100.0) for at in (query_at, key_at)]
        return float((rotate(q, *tables[0]) * rotate(k, *tables[1])).sum())

    assert score(9, 4) == pytest.approx(score(45, 40), abs=1e-5)
    assert score(9, 4) != pytest.approx(score(9, 5), abs=1e-2)


def test_angles_are_float32_and_the_result_keeps_its_dtype() -> None:
    cos, sin = rotary_tables((jnp.arange(3, dtype=jnp.uint16),), 4, 10_000.0)
    assert cos.dtype == sin.dtype == jnp.float32
    assert cos.shape == sin.shape == (3, 2)
    assert rotate(jnp.ones((1, 3, 1, 4), jnp.bfloat16), cos, sin).dtype == jnp.bfloat16
