"""One step of running means by hand."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from toto_jax.tasks.running_codes import RunningCodes
from toto_jax.tokenizers.quantizers import Quantized

CODEBOOK = jnp.array([[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]])


def quantized(codes: list[int], latents: list[list[float]]) -> Quantized:
    shape = (1, 1, len(codes))
    vectors = jnp.array(latents).reshape(*shape, 2)
    return Quantized(jnp.array(codes).reshape(shape), vectors, vectors, vectors)


def step(rule: RunningCodes, running: Any, codebook: jax.Array, seen: Quantized) -> tuple[Any, jax.Array]:
    def loss(params: Any) -> jax.Array:
        return rule.update(params["running"], params["codebook"], seen, jax.random.key(0))

    params = {"running": running, "codebook": codebook}
    value, grads = jax.value_and_grad(loss)(params)
    assert float(value) == 0
    new = jax.tree.map(jnp.subtract, params, grads)
    return new["running"], new["codebook"]


def test_sums_and_codes_after_one_step() -> None:
    """Codes 0, 0, 1, 0 of 4 vectors: in shares of the mean use of 3 codes, 9/4, 3/4 and 0."""
    seen = quantized([0, 0, 1, 0], [[2.0, 0.0], [0.0, 2.0], [4.0, 4.0], [1.0, 1.0]])
    running, codebook = step(RunningCodes(0.5, 0.0), RunningCodes.init(CODEBOOK), CODEBOOK, seen)
    np.testing.assert_allclose(running["usage"], [0.5 + 9 / 8, 0.5 + 3 / 8, 0.5])
    totals = 0.5 * np.asarray(CODEBOOK) + 0.5 * 0.75 * np.array([[3.0, 3.0], [4.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(running["total"], totals, rtol=1e-6)
    np.testing.assert_allclose(codebook, totals / np.asarray(running["usage"])[:, None], rtol=1e-5)


def test_a_code_that_nobody_chooses_keeps_its_place_or_starts_anew_among_the_vectors() -> None:
    seen = quantized([0, 1], [[2.0, 0.0], [0.0, 2.0]])
    running, codebook = RunningCodes.init(CODEBOOK), CODEBOOK
    for _ in range(5):
        running, codebook = step(RunningCodes(0.5, 0.0), running, codebook, seen)
    np.testing.assert_allclose(codebook[2], CODEBOOK[2], rtol=1e-5)
    assert float(running["usage"][2]) == 0.5**5
    running, codebook = step(RunningCodes(0.5, 0.1), running, codebook, seen)
    assert codebook[2].tolist() in [[2.0, 0.0], [0.0, 2.0]]
    assert float(running["usage"][2]) == 1
    np.testing.assert_allclose(running["total"][2], codebook[2], rtol=1e-6)
