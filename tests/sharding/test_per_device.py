"""Functions on local parts: what is split, what is gathered, where gradients are summed, and when nothing is done."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from toto_jax.errors import ConfigError
from toto_jax.sharding.mesh import MeshConfig, make_mesh
from toto_jax.sharding.per_device import per_device

X = jnp.arange(8 * 6, dtype=jnp.float32).reshape(8, 6)
W = jnp.arange(6 * 4, dtype=jnp.float32).reshape(6, 4)


def test_without_a_mesh_or_with_one_device_the_function_comes_back() -> None:
    assert per_device(jnp.matmul, (("batch", None), (None, None)), ("batch", None)) is jnp.matmul
    with jax.set_mesh(make_mesh(MeshConfig(1, 1, 1, 1, 1), jax.devices()[:1])):
        assert per_device(jnp.matmul, (("batch", None), (None, None)), ("batch", None)) is jnp.matmul


@pytest.mark.parametrize(("split", "columns"), [(None, 2), (("batch",), 4)])
def test_each_device_sees_its_part_and_gradients_are_whole(
    split: tuple[str, ...] | None, columns: int
) -> None:
    """On data 2 x fsdp 2 x tensor 2, a batch of 8 is 2 rows a device; only what is split by hand is local."""
    seen = []

    def product(x: jax.Array, w: jax.Array) -> jax.Array:
        seen.append((x.shape, w.shape))
        return x @ w

    heads = "heads" if split is None else None
    with jax.set_mesh(make_mesh(MeshConfig(1, 2, 2, 1, 2))):
        local = per_device(product, (("batch", None), (None, heads)), ("batch", heads), split)
        value, gradient = jax.jit(jax.value_and_grad(lambda w: jnp.square(local(X, w)).sum()))(W)
    assert set(seen) == {((2, 6), (6, columns))}
    np.testing.assert_allclose(value, np.square(np.asarray(X @ W)).sum(), rtol=1e-6)
    np.testing.assert_allclose(gradient, 2 * X.T @ (X @ W), rtol=1e-6)


def test_where_a_caller_has_split_already_the_function_comes_back() -> None:
    found = []

    def outer(x: jax.Array) -> jax.Array:
        inner = per_device(jnp.sin, (("batch", None),), ("batch", None))
        found.append(inner is jnp.sin)
        return inner(x)

    with jax.set_mesh(make_mesh(MeshConfig(1, 1, 8, 1, 1))):
        spec = PartitionSpec("fsdp")
        jax.jit(jax.shard_map(outer, in_specs=spec, out_specs=spec))(X)
    assert found == [True]


def test_what_does_not_divide_is_named() -> None:
    with jax.set_mesh(make_mesh(MeshConfig(1, 1, 8, 1, 1))):
        local = per_device(jnp.sin, (("batch", None),), ("batch", None))
        with pytest.raises(
            ConfigError, match="axis 'batch' of an activation of size 6 .* fsdp 8 = 8; 8 would"
        ):
            local(X[:6])
