"""Attention of new positions over all that came before them, whose keys and values are kept.

Shapes: B sequences, T new positions, S kept positions, N query heads, K key-value heads, G = N / K queries to one
key-value head, R = G * T, H size of a head.
"""

import jax
import jax.numpy as jnp

from toto_jax.models.chunked_attention import as_rows, causal_attention, grouped, ungrouped, visible_rows
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
    q_BKGTH = grouped(q_BTNH, k_BTKH)
    q_BKRH, dtype = as_rows(q_BKGTH), q_BTNH.dtype
    raw_BKRS = jnp.einsum(
        "BKRH,BKSH->BKRS", q_BKRH, keys_BKSH.astype(dtype), preferred_element_type=jnp.float32
    )
    seen_RS = visible_rows(length, q_BKGTH, keys_BKSH)
    scores_BKRS = jnp.where(seen_RS, raw_BKRS * q_BKRH.shape[-1] ** -0.5, -jnp.inf)
    weights_BKRS = jax.nn.softmax(scores_BKRS, axis=-1)
    mixed_BKRH = jnp.einsum("BKRS,BKSH->BKRH", weights_BKRS.astype(dtype), values_BKSH.astype(dtype))
    return ungrouped(mixed_BKRH.reshape(q_BKGTH.shape)), (keys_BKSH, values_BKSH)
