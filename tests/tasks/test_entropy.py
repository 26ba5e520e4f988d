"""Entropies by bits against the softmax over all codes, written out."""

import itertools
import math

import jax
import numpy as np
import pytest

from toto_jax.tasks import entropy


def written_out(latents: np.ndarray, scale: float, temperature: float) -> np.ndarray:
    """Returns the probability of each of the 2^E codes: softmax of -|z - c|^2 / temperature."""
    codes = scale * np.array(list(itertools.product([-1, 1], repeat=latents.shape[-1])))
    distance = np.square(latents[..., None, :] - codes).sum(-1)
    p = np.exp(-(distance - distance.min(-1, keepdims=True)) / temperature)
    return p / p.sum(-1, keepdims=True)


@pytest.mark.parametrize(("scale", "temperature"), [(1.0, 0.7), (1 / math.sqrt(4), 2.0), (1.0, 3.0)])
def test_both_are_the_entropies_of_the_softmax_over_all_codes(scale: float, temperature: float) -> None:
    latents = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)
    p = written_out(latents, scale, temperature)
    each = -(p * np.log(p)).sum(-1).mean()
    mean = p.reshape(-1, 16).mean(0)
    np.testing.assert_allclose(entropy.sample_entropy(latents, scale, temperature), each, rtol=1e-4)
    np.testing.assert_allclose(
        entropy.mean_entropy(latents, scale, temperature), -(mean * np.log(mean)).sum(), rtol=1e-4
    )


def test_more_bits_than_a_group_give_the_sum_of_the_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    latents = np.random.default_rng(1).normal(size=(50, 6)).astype(np.float32)
    monkeypatch.setattr(entropy, "GROUP_BITS", 3)
    halves = [written_out(part, 1.0, 1.0).mean(0) for part in (latents[:, :3], latents[:, 3:])]
    wanted = sum(-(mean * np.log(mean)).sum() for mean in halves)
    np.testing.assert_allclose(entropy.mean_entropy(latents, 1.0, 1.0), wanted, rtol=1e-4)


def test_certain_bits_have_no_entropy_and_a_finite_gradient() -> None:
    """At the published temperature of 0.01 a sigmoid is 1 in float32."""
    latents = np.array([[0.9, -0.8, 0.7]], np.float32)
    for function in (entropy.sample_entropy, entropy.mean_entropy):
        value, gradient = jax.value_and_grad(function)(latents, 1.0, 0.01)
        assert float(value) == pytest.approx(0, abs=1e-5)
        assert np.isfinite(gradient).all()
