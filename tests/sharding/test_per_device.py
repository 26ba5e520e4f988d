"""Functions on local parts: what is split, what is gathered, where gradients are summed, and when nothing is done."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from toto_jax.errors import ConfigError
from toto_jax.sharding.mesh import MeshConfig, make_mesh
from toto_jax.sharding.per_device import over_replicas, per_device
from toto_jax.sharding.rules import constrain

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


def test_replicas_join_means_and_sums_at_the_end() -> None:
    """Two slices of two: each sees its rows and a key of its own; without replicas the function comes back."""
    rows = []

    def work(
        params: jax.Array, batch: jax.Array, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        rows.append(batch.shape)
        return (batch * params).mean() + step, jax.random.bits(key)[None] % 2 + 1

    key, step = jax.random.key(0), jnp.float32(5)
    assert over_replicas(work) is work
    with jax.set_mesh(make_mesh(MeshConfig(1, 1, 4, 1, 2))):
        assert over_replicas(work) is work
    with jax.set_mesh(make_mesh(MeshConfig(2, 2, 2, 1, 1))):
        mean, total = jax.jit(over_replicas(work))(jnp.float32(3), X, key, step)
    assert set(rows) == {(2, 6)}
    np.testing.assert_allclose(mean, 3 * X.mean() + 5, rtol=1e-6)
    wanted = sum(jax.random.bits(jax.random.fold_in(key, replica)) % 2 + 1 for replica in range(4))
    np.testing.assert_array_equal(total, [wanted])


def test_a_function_inside_of_replicas_is_split_along_the_other_axes() -> None:
    seen = []

    def inner(x: jax.Array) -> jax.Array:
        seen.append(x.shape)
        return 2 * x

    def outer(params: None, batch: jax.Array, key: jax.Array, step: jax.Array) -> tuple[jax.Array, jax.Array]:
        doubled = per_device(inner, (("batch", None),), ("batch", None))(constrain(batch, "batch", None))
        return doubled.sum(), doubled.sum()

    with jax.set_mesh(make_mesh(MeshConfig(2, 2, 2, 1, 1))):
        mean, total = jax.jit(over_replicas(outer))(None, X, jax.random.key(0), jnp.int32(0))
    assert set(seen) == {(1, 6)}
    np.testing.assert_allclose((mean, total), (2 * X.sum() / 4, 2 * X.sum()), rtol=1e-6)
