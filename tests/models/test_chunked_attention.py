"""Chunked causal attention against a dense one in float64 NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toto_jax.models import chunked_attention
from toto_jax.models.attention import reference_attention
from toto_jax.models.chunked_attention import causal_attention
from toto_jax.models.fused_attention import Attention


def dense(q_BTNH: np.ndarray, k_BSKH: np.ndarray, v_BSKH: np.ndarray) -> np.ndarray:
    """Attends, one head at a time, with queries that stand at the last of the keys' positions."""
    q_BTNH, k_BSKH, v_BSKH = (np.asarray(x, np.float64) for x in (q_BTNH, k_BSKH, v_BSKH))
    new, keys = q_BTNH.shape[1], k_BSKH.shape[1]
    group = q_BTNH.shape[2] // k_BSKH.shape[2]
    out = np.empty_like(q_BTNH)
    for row, head in np.ndindex(q_BTNH.shape[0], q_BTNH.shape[2]):
        k, v = k_BSKH[row, :, head // group], v_BSKH[row, :, head // group]
        scores = q_BTNH[row, :, head] @ k.T / np.sqrt(q_BTNH.shape[-1])
        scores[np.arange(keys) > np.arange(keys - new, keys)[:, None]] = -np.inf
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        out[row, :, head] = weights / weights.sum(-1, keepdims=True) @ v
    return out


def draw(new: int, heads: int, kv_heads: int, size: int = 8) -> tuple[jax.Array, jax.Array, jax.Array]:
    keys = jax.random.split(jax.random.key(new), 3)
    shapes = [(2, new, heads, size), (2, new, kv_heads, size), (2, new, kv_heads, size)]
    return tuple(3 * jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True))


@pytest.mark.parametrize(("new", "heads", "kv_heads"), [(1, 4, 2), (64, 2, 2), (129, 4, 2), (65, 3, 1)])
def test_equals_dense_attention(new: int, heads: int, kv_heads: int) -> None:
    q, k, v = draw(new, heads, kv_heads)
    np.testing.assert_allclose(jax.jit(causal_attention)(q, k, v), dense(q, k, v), atol=1e-4)


def test_long_sequences_are_taken_in_chunks_that_see_no_later_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """577 positions are five chunks of 128, the last of 65; chunked and whole are different programs."""
    q, k, v = draw(577, 2, 2)
    chunked = str(jax.make_jaxpr(causal_attention)(q, k, v))
    assert all(f"f32[2,2,{rows},{end}]" in chunked for rows, end in [(128, 128), (128, 512), (65, 577)])
    assert "f32[2,2,577,577]" not in chunked
    monkeypatch.setattr(chunked_attention, "MAX_CHUNKS", 1)
    monkeypatch.setattr(chunked_attention, "MAX_ROWS", 577)
    assert "f32[2,2,577,577]" in str(jax.make_jaxpr(lambda *args: causal_attention(*args))(q, k, v))


def held(length: int, heads: int = 1) -> int:
    """Returns the compiler's count of bytes that a gradient needs besides arguments and results."""
    shape = jax.ShapeDtypeStruct((1, length, heads, 8), jnp.float32)
    gradient = jax.jit(jax.grad(lambda *args: jnp.sin(causal_attention(*args)).sum(), (0, 1, 2)))
    return gradient.lower(shape, shape, shape).compile().memory_analysis().temp_size_in_bytes


def test_memory_is_linear_in_the_sequence_and_so_are_the_residuals() -> None:
    """Of 8,192 positions all scores would be 256 MiB; a block of 256 queries has at most 8."""
    small, large = held(4096), held(8192)
    assert large < 2.2 * small
    assert large < 40 * 2**20
    arrays = draw(577, 4, 2)
    pull = jax.eval_shape(lambda *args: jax.vjp(causal_attention, *args)[1], *arrays)
    sizes = sorted(leaf.size for leaf in jax.tree.leaves(pull))
    # One number for each row, keys and values, queries and output.
    assert sizes == [2 * 577 * n for n in (4, 2 * 8, 2 * 8, 4 * 8, 4 * 8)]


@pytest.mark.parametrize(("chunks", "rows"), [(1, 256), (8, 256), (8, 32), (8, 24), (1, 50)])
def test_nothing_depends_on_chunks_and_blocks(
    monkeypatch: pytest.MonkeyPatch, chunks: int, rows: int
) -> None:
    """130 positions: one chunk or three, in one block or in loops over blocks that need not fit evenly."""
    arrays = draw(130, 4, 2)

    def all_of(attend: Attention) -> list[jax.Array]:
        out, pull = jax.vjp(attend, *arrays)
        return [out, *pull(jnp.cos(out))]

    wanted = jax.jit(lambda: all_of(reference_attention))()
    monkeypatch.setattr(chunked_attention, "MAX_CHUNKS", chunks)
    monkeypatch.setattr(chunked_attention, "MAX_ROWS", rows)
    assert ("scan[" in str(jax.make_jaxpr(lambda *args: causal_attention(*args))(*arrays))) == (rows < 64)
    for got, want in zip(jax.jit(lambda: all_of(causal_attention))(), wanted, strict=True):
        assert np.abs(want).max() > 0.1
        np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())


def test_bfloat16_scores_are_summed_in_float32() -> None:
    q, k, v = (x.astype(jnp.bfloat16) for x in draw(65, 4, 2))
    out = jax.jit(causal_attention)(q, k, v)
    assert out.dtype == jnp.bfloat16
    np.testing.assert_allclose(out.astype(np.float32), dense(q, k, v), atol=0.06)
    assert "f32[2,2,128,64]" in str(jax.make_jaxpr(causal_attention)(q, k, v))
