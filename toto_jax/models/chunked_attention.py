"""Causal attention in chunks of queries that never holds all scores, in plain JAX: for any device and any length.

Shapes: B sequences, T new positions, S keys that a chunk sees, N query heads, K key-value heads, G = N / K
queries to one key-value head, R = G * rows of a chunk, H size of a head.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from toto_jax.models.remat import ATTENTION

# Queries are taken in chunks that see only the keys up to their own end, so nearly half of the scores are
# never computed, and the rest stays in cache. More chunks save little and cost compile time. A chunk is a
# multiple of CHUNK, so that a sequence of odd length makes no odd products but the last. The compiler may
# compute all chunks side by side; a longer one is a loop over blocks of MAX_ROWS, which it can't.
MAX_CHUNKS = 8
MAX_ROWS = 256
CHUNK = 64


@jax.custom_vjp
def causal_attention(q_BTNH: jax.Array, k_BTKH: jax.Array, v_BTKH: jax.Array) -> jax.Array:
    """Returns softmax(q k' / sqrt(H)) v of each query over the positions up to its own.

    Scores and softmax are float32. Query head n reads key-value head n // G. The gradient keeps only queries, keys,
    values, the output and each row's log of summed weights, and computes a chunk's scores again (2205.14135, section
    3.1 and appendix B): memory is linear in T with and without remat.

    Args:
      q_BTNH: queries, rotated.
      k_BTKH: keys, rotated.
      v_BTKH: values.

    Returns:
      out_BTNH in the dtype of the queries.
    """
    return _forward(q_BTNH, k_BTKH, v_BTKH)[0]


def _forward(q_BTNH: jax.Array, k_BTKH: jax.Array, v_BTKH: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns out_BTNH, and log(sum(exp(scores))) of each row, float32, shape (B, K, G, T)."""
    q_BKGTH, (k_BKTH, v_BKTH) = grouped(q_BTNH, k_BTKH), (k_BTKH.swapaxes(1, 2), v_BTKH.swapaxes(1, 2))
    outs = []
    for start, end in _chunks(q_BKGTH.shape[3]):
        block = functools.partial(_forward_block, k_BKTH[:, :, :end], v_BKTH[:, :, :end])
        outs.append(_over_blocks(block, None, start, (q_BKGTH[:, :, :, start:end],))[1])
    out_BKGTH, log_BKGT = jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=3), *outs)
    return ungrouped(out_BKGTH), log_BKGT


def _forward_block(
    keys_BKSH: jax.Array, values_BKSH: jax.Array, carry: None, first: Any, q_BKGTH: jax.Array
) -> tuple[None, tuple[jax.Array, jax.Array]]:
    """Returns the output and the sums of queries that stand at `first` and behind.

    Dividing by the sums after mixing saves a pass over the scores.
    """
    dtype, q_BKRH = q_BKGTH.dtype, as_rows(q_BKGTH)
    raw_BKRS = jnp.einsum("BKRH,BKSH->BKRS", q_BKRH, keys_BKSH, preferred_element_type=jnp.float32)
    seen_RS = visible_rows(first, q_BKGTH, keys_BKSH)
    scores_BKRS = jnp.where(seen_RS, raw_BKRS * q_BKRH.shape[-1] ** -0.5, -jnp.inf)
    top_BKR1 = jax.lax.stop_gradient(scores_BKRS.max(-1, keepdims=True))
    weights_BKRS = jnp.exp(scores_BKRS - top_BKR1)
    total_BKR1 = weights_BKRS.sum(-1, keepdims=True)
    mixed_BKRH = jnp.einsum("BKRS,BKSH->BKRH", weights_BKRS.astype(dtype), values_BKSH)
    out_BKGTH = (mixed_BKRH / total_BKR1).astype(dtype).reshape(q_BKGTH.shape)
    return carry, (out_BKGTH, (top_BKR1 + jnp.log(total_BKR1)).reshape(q_BKGTH.shape[:-1]))


def _causal_forward(q_BTNH: jax.Array, k_BTKH: jax.Array, v_BTKH: jax.Array) -> tuple[jax.Array, tuple]:
    out_BTNH, log_BKGT = _forward(q_BTNH, k_BTKH, v_BTKH)
    out_BTNH, log_BKGT = checkpoint_name(out_BTNH, ATTENTION), checkpoint_name(log_BKGT, ATTENTION)
    return out_BTNH, (q_BTNH, k_BTKH, v_BTKH, out_BTNH, log_BKGT)


def _causal_backward(saved: tuple, dout_BTNH: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    q_BTNH, k_BTKH, v_BTKH, out_BTNH, log_BKGT = saved
    dtype = q_BTNH.dtype
    q_BKGTH, (k_BKTH, v_BKTH) = grouped(q_BTNH, k_BTKH), (k_BTKH.swapaxes(1, 2), v_BTKH.swapaxes(1, 2))
    dout_BKGTH, out_BKGTH = grouped(dout_BTNH.astype(dtype), k_BTKH), grouped(out_BTNH, k_BTKH)
    shared_BKGT = (dout_BKGTH.astype(jnp.float32) * out_BKGTH.astype(jnp.float32)).sum(-1)
    dk_BKTH, dv_BKTH, dqs = jnp.zeros(k_BKTH.shape), jnp.zeros(v_BKTH.shape), []
    for start, end in _chunks(q_BKGTH.shape[3]):
        keys_BKSH, values_BKSH = k_BKTH[:, :, :end], v_BKTH[:, :, :end]
        block = functools.partial(_backward_block, keys_BKSH, values_BKSH)
        none = jnp.zeros(keys_BKSH.shape), jnp.zeros(values_BKSH.shape)
        rows = [x[:, :, :, start:end] for x in (q_BKGTH, dout_BKGTH, log_BKGT, shared_BKGT)]
        (dkeys_BKSH, dvalues_BKSH), dq_BKGTH = _over_blocks(block, none, start, rows)
        dqs.append(dq_BKGTH)
        dk_BKTH, dv_BKTH = dk_BKTH.at[:, :, :end].add(dkeys_BKSH), dv_BKTH.at[:, :, :end].add(dvalues_BKSH)
    dk_BTKH, dv_BTKH = (x.swapaxes(1, 2).astype(dtype) for x in (dk_BKTH, dv_BKTH))
    return ungrouped(jnp.concatenate(dqs, axis=3)), dk_BTKH, dv_BTKH


def _backward_block(
    keys_BKSH: jax.Array, values_BKSH: jax.Array, sums: tuple[jax.Array, jax.Array], first: Any,
    q_BKGTH: jax.Array, dout_BKGTH: jax.Array, log_BKGT: jax.Array, shared_BKGT: jax.Array,
) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:  # fmt: skip
    """Returns the sums of the gradients of keys and values with this block's, and that of its queries."""
    einsum = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)
    dtype = q_BKGTH.dtype
    q_BKRH, dout_BKRH = as_rows(q_BKGTH), as_rows(dout_BKGTH)
    log_BK1R, shared_BK1R = (x_BKGT.reshape(*x_BKGT.shape[:2], 1, -1) for x_BKGT in (log_BKGT, shared_BKGT))
    # Keys before queries: then only one of the five products is one that XLA's CPU backend does slowly.
    raw_BKSR = einsum("BKSH,BKRH->BKSR", keys_BKSH, q_BKRH)
    scores_BKSR = jnp.where(
        visible_rows(first, q_BKGTH, keys_BKSH).T, raw_BKSR * q_BKRH.shape[-1] ** -0.5, -jnp.inf
    )
    weights_BKSR = jnp.exp(scores_BKSR - log_BK1R)
    dweights_BKSR = einsum("BKSH,BKRH->BKSR", values_BKSH, dout_BKRH)
    dscores_BKSR = weights_BKSR * (dweights_BKSR - shared_BK1R) * q_BKRH.shape[-1] ** -0.5
    dscores_BKSR, weights_BKSR = dscores_BKSR.astype(dtype), weights_BKSR.astype(dtype)
    dkeys_BKSH = sums[0] + einsum("BKSR,BKRH->BKSH", dscores_BKSR, q_BKRH)
    dvalues_BKSH = sums[1] + einsum("BKSR,BKRH->BKSH", weights_BKSR, dout_BKRH)
    dq_BKRH = einsum("BKSR,BKSH->BKRH", dscores_BKSR, keys_BKSH).astype(dtype)
    return (dkeys_BKSH, dvalues_BKSH), dq_BKRH.reshape(q_BKGTH.shape)


causal_attention.defvjp(_causal_forward, _causal_backward)


def _chunks(length: int) -> Iterator[tuple[int, int]]:
    """Yields each chunk's first position and the one behind its last."""
    rows = CHUNK * -(-length // (CHUNK * MAX_CHUNKS))
    for start in range(0, length, rows):
        yield start, min(start + rows, length)


def _over_blocks(
    block: Callable[..., tuple[Any, Any]], carry: Any, start: int, arrays: Sequence[jax.Array]
) -> Any:
    """Returns what `block(carry, first position, *arrays)` does, in a loop over blocks of at most MAX_ROWS rows.

    Zeros fill the last block; they are cut off its results, and their gradient is zero.
    """
    length = arrays[0].shape[3]
    count = -(-length // MAX_ROWS)
    if count == 1:
        return block(carry, start, *arrays)
    rows = -(-length // count)

    def split(x: jax.Array) -> jax.Array:
        x = jnp.pad(x, [(0, rows * count - length if axis == 3 else 0) for axis in range(x.ndim)])
        return jnp.moveaxis(x.reshape(*x.shape[:3], count, rows, *x.shape[4:]), 3, 0)

    def join(x: jax.Array) -> jax.Array:
        x = jnp.moveaxis(x, 0, 3)
        return x.reshape(*x.shape[:3], -1, *x.shape[5:])[:, :, :, :length]

    parts = (start + rows * jnp.arange(count), *map(split, arrays))
    carry, outs = jax.lax.scan(lambda carry, part: block(carry, *part), carry, parts)
    return carry, jax.tree.map(join, outs)


def visible_rows(first: Any, q_BKGTH: jax.Array, keys_BKSH: jax.Array) -> jax.Array:
    """Returns which keys the rows of queries from position `first` on see."""
    group, rows = q_BKGTH.shape[2:4]
    visible_TS = jnp.arange(keys_BKSH.shape[2]) <= first + jnp.arange(rows)[:, None]
    return jnp.tile(visible_TS, (group, 1))


def grouped(x_BTNH: jax.Array, k_BTKH: jax.Array) -> jax.Array:
    """Returns x_BKGTH: heads in front of positions make each product a plain batched one, faster on CPU."""
    batch, new, heads, size = x_BTNH.shape
    kv_heads = k_BTKH.shape[2]
    return x_BTNH.reshape(batch, new, kv_heads, heads // kv_heads, size).transpose(0, 2, 3, 1, 4)


def ungrouped(x_BKGTH: jax.Array) -> jax.Array:
    """Returns x_BTNH: the inverse of `grouped`."""
    batch, kv_heads, group, new, size = x_BKGTH.shape
    return x_BKGTH.transpose(0, 3, 1, 2, 4).reshape(batch, new, kv_heads * group, size)


def as_rows(x_BKGTH: jax.Array) -> jax.Array:
    """Returns x_BKRH: all queries to one key-value head in a row."""
    return x_BKGTH.reshape(*x_BKGTH.shape[:2], -1, x_BKGTH.shape[-1])
