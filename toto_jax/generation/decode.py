"""Sampling of sequences, token by token, with a cache of keys and values.

Shapes: B sequences, T prompt tokens, V vocabulary, R ids of a range.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from toto_jax.generation.sampling import SamplerConfig, sample
from toto_jax.models.decoder import Decoder
from toto_jax.models.outputs import Cache
from toto_jax.tree import Params, matrices


@functools.partial(jax.jit, static_argnames=("decoder", "new_tokens", "sampler", "allowed"))
def generate(
    decoder: Decoder,
    params: Params,
    prompt_BT: jax.Array,
    new_tokens: int,
    sampler: SamplerConfig,
    key: jax.Array,
    allowed: tuple[tuple[int, int], ...] = (),
) -> jax.Array:
    """Continues prompts, all in one program.

    The prompt but for its last token fills the cache at once; then each step takes the last token and draws
    the next. Step i draws with `fold_in(key, i)`.

    Args:
      decoder: the transformer.
      params: its parameters.
      prompt_BT: at least one token each, all of the same length.
      new_tokens: how many to draw, at least one.
      sampler: how.
      key: a random key.
      allowed: ranges (low, high), in turn from step to step: ids low..high-1 may be drawn; none for all ids.

    Returns:
      ids_B(new_tokens), int32.
    """
    batch, length = prompt_BT.shape
    if length < 1 or new_tokens < 1:
        raise ValueError(f"Wanted a prompt and new tokens, got {length} and {new_tokens}")
    cache = decoder.init_cache(batch, length - 1 + new_tokens)
    params = decoder.layers_apart(_compute_copy(decoder, params, cache.layers[0][0].dtype))
    if length > 1:
        cache = decoder.apply(params, prompt_BT[:, :-1], logits=False, cache=cache).cache

    def step(carry: tuple[jax.Array, Cache], index: jax.Array) -> tuple[tuple[jax.Array, Cache], jax.Array]:
        last_B, cache = carry
        output = decoder.apply(params, last_B[:, None], cache=cache)
        next_B = _draw(jax.random.fold_in(key, index), index, output.logits_BTV[:, 0], sampler, allowed)
        return (next_B, output.cache), next_B

    first = (prompt_BT[:, -1].astype(jnp.int32), cache)
    return jax.lax.scan(step, first, jnp.arange(new_tokens))[1].T


def _draw(
    key: jax.Array,
    index: jax.Array,
    logits_BV: jax.Array,
    sampler: SamplerConfig,
    allowed: tuple[tuple[int, int], ...],
) -> jax.Array:
    """Returns ids_B of step `index`, from the range whose turn it is."""
    if len(allowed) <= 1:
        return sample(key, logits_BV, sampler, *allowed)
    lows, highs = np.array(allowed).T
    low, high, turn = int(lows.min()), int(highs.max()), index % len(allowed)
    ids_R = jnp.arange(low, high)
    inside_R = (ids_R >= jnp.asarray(lows)[turn]) & (ids_R < jnp.asarray(highs)[turn])
    return sample(key, jnp.where(inside_R, logits_BV[:, low:high], -jnp.inf), sampler) + low


def _compute_copy(decoder: Decoder, params: Params, dtype: jnp.dtype) -> Params:
    """Returns the parameters with matrices in the compute dtype: each step would cast them anyway."""
    is_matrix = matrices(decoder.logical_axes())
    return jax.tree.map(lambda matrix, leaf: leaf.astype(dtype) if matrix else leaf, is_matrix, params)
