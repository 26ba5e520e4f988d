"""Attention with a cache against a dense one in float64 NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.test_chunked_attention import dense, draw
from toto_jax.models.cached_attention import attend_to_all

ROOM, NEW = 90, 20


def kept(k: jax.Array, v: jax.Array, filled: int) -> tuple[jax.Array, jax.Array]:
    """Returns a cache with the first positions in it, and large noise behind."""
    noise = jnp.full((2, k.shape[2], ROOM - filled, 8), 50.0)
    return tuple(jnp.concatenate((x[:, :filled].swapaxes(1, 2), noise), axis=2) for x in (k, v))


@pytest.mark.parametrize("filled", [0, 1, 70])
@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 2), (3, 3), (4, 1)])
def test_new_positions_see_the_kept_ones_and_each_other_up_to_themselves(
    filled: int, heads: int, kv_heads: int
) -> None:
    """What stands in the cache beyond its length is not looked at, however large."""
    q, k, v = draw(filled + NEW, heads, kv_heads)
    cache = kept(k, v, filled)
    new = (x[:, filled:] for x in (q, k, v))
    out, (keys, values) = jax.jit(attend_to_all, static_argnames="empty")(
        *new, cache, jnp.int32(filled), empty=False
    )
    np.testing.assert_allclose(out, dense(q, k, v)[:, filled:], atol=1e-4)
    for before, after, whole in zip(cache, (keys, values), (k, v), strict=True):
        np.testing.assert_array_equal(after[:, :, : filled + NEW], whole.swapaxes(1, 2))
        np.testing.assert_array_equal(after[:, :, filled + NEW :], before[:, :, filled + NEW :])


def test_an_empty_cache_is_filled_and_not_looked_at() -> None:
    q, k, v = draw(NEW, 4, 2)
    out, (keys, _) = attend_to_all(q, k, v, kept(k, v, 0), np.int32(0), empty=True)
    np.testing.assert_allclose(out, dense(q, k, v), atol=1e-4)
    np.testing.assert_array_equal(keys[:, :, :NEW], k.swapaxes(1, 2))


def test_a_loop_over_steps_writes_in_place() -> None:
    """The compiled loop holds one cache and no copy of it, whatever it reads."""
    size = (2, 4, 512, 64)
    q = jnp.ones((2, 1, 4, 64))

    def steps(keys: jax.Array, values: jax.Array) -> jax.Array:
        def step(carry: tuple, _: None) -> tuple:
            cache, length = carry
            out, cache = attend_to_all(q, q, q, cache, length, empty=False)
            return (cache, length + 1), out

        return jax.lax.scan(step, ((keys, values), jnp.int32(0)), None, length=8)[1]

    arrays = (jnp.ones(size), jnp.ones(size))
    compiled = jax.jit(steps).lower(*arrays).compile()
    copies = [
        line for line in compiled.as_text().splitlines() if " copy(" in line and "f32[2,4,512,64]" in line
    ]
    assert len(copies) <= 2, "\n".join(copies)
    assert compiled.memory_analysis().temp_size_in_bytes < 3 * np.prod(size) * 4
