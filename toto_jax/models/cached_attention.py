"""Attention of new positions over all that came before them, whose keys and values are kept.

Shapes: B sequences, T new positions, S kept positions, N query heads, K key-value heads, G = N / K queries to one
key-value head, R = G * T, H size of a head.
"""

import jax
import jax.numpy as jnp

from toto_jax.models.chunked_attention import causal_attention
from toto_jax.models.outputs import KeysValues


def attend_to_all(
    q_BTNH: jax.Array, k_BTKH: jax.Array, v_BTKH: jax.Array, kept: KeysValues, length: jax.Array, empty: bool
) -> tuple[jax.Array, KeysValues]:
    """Writes the new keys and values behind the first `length` kept ones, then attends.

    The order matters: what reads the written buffer can't be computed before the writing, so a loop over steps
    writes in place. The other way round, the compiler would copy the buffer first.

    Args:
      q_BTNH: queries of the new positions, rotated.
      k_BTKH: their keys, rotated.
      v_BTKH: their values.
      kept: those of earlier positions; its dtype may be another.
      length: how many of them are filled.
      empty: whether none is, for certain: then nobody looks at them, and no T x S scores are held.

    Returns:
      out_BTNH in the dtype of the queries, and what is kept now.
    """
    keys_BKSH, values_BKSH = (
        jax.lax.dynamic_update_slice(old, new.swapaxes(1, 2).astype(old.dtype), (0, 0, length, 0))
        for old, new in zip(kept, (k_BTKH, v_BTKH), strict=True)
    )
    if empty:
        return causal_attention(q_BTNH, k_BTKH, v_BTKH), (keys_BKSH, values_BKSH)
    batch, new, heads, size = q_BTNH.shape
    kv_heads, room = keys_BKSH.shape[1:3]
    q_BKRH = (
        q_BTNH.reshape(batch, new, kv_heads, -1, size)
        .transpose(0, 2, 3, 1, 4)
        .reshape(batch, kv_heads, -1, size)
    )
    raw_BKRS = jnp.einsum(
        "BKRH,BKSH->BKRS", q_BKRH, keys_BKSH.astype(q_BKRH.dtype), preferred_element_type=jnp.float32
    )
    visible_TS = jnp.arange(room) <= length + jnp.arange(new)[:, None]
    visible_RS = jnp.tile(visible_TS, (heads // kv_heads, 1))
    weights_BKRS = jax.nn.softmax(jnp.where(visible_RS, raw_BKRS * size**-0.5, -jnp.inf), axis=-1)
    mixed_BKRH = jnp.einsum(
        "BKRS,BKSH->BKRH", weights_BKRS.astype(q_BTNH.dtype), values_BKSH.astype(q_BTNH.dtype)
    )
    mixed_BKGTH = mixed_BKRH.reshape(batch, kv_heads, -1, new, size)
    return mixed_BKGTH.transpose(0, 3, 1, 2, 4).reshape(q_BTNH.shape), (keys_BKSH, values_BKSH)
