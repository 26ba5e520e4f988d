"""Sampled frequencies against closed forms, and the edges of each cut."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toto_jax.errors import ConfigError
from toto_jax.generation.sampling import SamplerConfig, sample

PROBABILITIES = np.array([0.05, 0.4, 0.1, 0.25, 0.2])
DRAWS = 40_000


@functools.partial(jax.jit, static_argnums=(1, 2))
def draw(logits_V: jax.Array, config: SamplerConfig, allowed: tuple[int, int] | None = None) -> jax.Array:
    logits_BV = jnp.broadcast_to(logits_V, (DRAWS, logits_V.size))
    return sample(jax.random.key(0), logits_BV, config, allowed)


def check(config: SamplerConfig, expected: np.ndarray, allowed: tuple[int, int] | None = None) -> None:
    """Each frequency is within five standard deviations of its probability; what can't be drawn never is."""
    ids = np.asarray(draw(jnp.log(PROBABILITIES) + 3, config, allowed))
    assert ids.dtype == np.int32
    found = np.bincount(ids, minlength=5) / DRAWS
    assert (np.abs(found - expected) <= 5 * np.sqrt(expected * (1 - expected) / DRAWS)).all(), found


def test_no_cut_draws_from_the_softmax() -> None:
    check(SamplerConfig(1.0, 0, 1.0), PROBABILITIES)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_is_a_power_of_the_probabilities(temperature: float) -> None:
    powers = PROBABILITIES ** (1 / temperature)
    check(SamplerConfig(temperature, 0, 1.0), powers / powers.sum())


def test_temperature_zero_takes_the_largest() -> None:
    check(SamplerConfig(0.0, 0, 1.0), np.eye(5)[1])
    check(SamplerConfig(0.0, 3, 0.5), np.eye(5)[3], allowed=(2, 5))


def test_top_k_keeps_the_largest_and_renormalises() -> None:
    check(SamplerConfig(1.0, 3, 1.0), np.array([0, 0.4, 0, 0.25, 0.2]) / 0.85)
    check(SamplerConfig(1.0, 1, 1.0), np.eye(5)[1])
    check(SamplerConfig(1.0, 99, 1.0), PROBABILITIES)


@pytest.mark.parametrize(
    ("top_p", "kept"),
    # Sums of the sorted probabilities: .4, .65, .85, .95, 1.
    [(1e-6, [1]), (0.39, [1]), (0.41, [1, 3]), (0.64, [1, 3]), (0.66, [1, 3, 4]), (0.96, [0, 1, 2, 3, 4])],
)
def test_top_p_keeps_the_fewest_that_reach_it(top_p: float, kept: list[int]) -> None:
    expected = np.where(np.isin(np.arange(5), kept), PROBABILITIES, 0)
    check(SamplerConfig(1.0, 0, top_p), expected / expected.sum())


def test_cuts_apply_in_order() -> None:
    """After top_k=3 the largest has .4 / .85 = .47 of what is left, so top_p=.45 keeps it alone."""
    check(SamplerConfig(1.0, 3, 0.45), np.eye(5)[1])
    check(SamplerConfig(1.0, 0, 0.45), np.array([0, 0.4, 0, 0.25, 0]) / 0.65)
    # Temperature comes before top_p: at 0.5 the largest has .16 / .275 = .58.
    check(SamplerConfig(0.5, 0, 0.57), np.eye(5)[1])


@pytest.mark.parametrize(
    "config", [SamplerConfig(1.0, 0, 1.0), SamplerConfig(1.0, 2, 1.0), SamplerConfig(1.0, 9, 0.99)]
)
def test_a_range_is_as_if_there_were_no_other_ids(config: SamplerConfig) -> None:
    """Ids 2..3 have .1 and .25; the largest of all is outside of the range."""
    check(config, np.array([0, 0, 0.1, 0.25, 0]) / 0.35, allowed=(2, 4))


def test_rows_are_drawn_independently_and_the_key_decides() -> None:
    config = SamplerConfig(1.0, 3, 0.9)
    logits = jnp.zeros((64, 8))
    first, again, other = (sample(jax.random.key(seed), logits, config) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert len(set(first.tolist())) == 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((-0.1, 0, 1.0), "temperature must be 0"),
        ((1.0, -1, 1.0), "top_k must be 0"),
        ((1.0, 0, 0.0), "top_p must be above 0"),
        ((1.0, 0, 1.1), "top_p must be above 0"),
    ],
)
def test_samplers_that_cannot_be(values: tuple[float, int, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SamplerConfig(*values)


@pytest.mark.parametrize("allowed", [(3, 3), (-1, 2), (2, 6)])
def test_ranges_that_cannot_be(allowed: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match="not a range within a vocabulary of 5"):
        sample(jax.random.key(0), jnp.zeros((1, 5)), SamplerConfig(1.0, 0, 1.0), allowed)
