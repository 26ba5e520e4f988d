"""Functions that devices run on their own part of the arrays, where the compiler can't or shouldn't split them."""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import PartitionSpec

from toto_jax.sharding.rules import check_divides, free_axes, free_rules, partition_spec
from toto_jax.tree import Axes

# Mesh axes along which parameters are the same. They are split together, as JAX 0.12 can't nest a function that is
# split along `slice` in one that is split along `data`.
REPLICAS = ("slice", "data")


def per_device(
    function: Callable[..., Any],
    in_axes: tuple[Axes, ...],
    out_axes: Axes,
    split: tuple[str, ...] | None = None,
) -> Callable[..., Any]:
    """Returns `function` run on local parts, split by logical axes over the mesh that is set.

    An argument that an axis doesn't split is gathered before; its gradient is summed over the devices once, after.
    Where no mesh is set, or it is one device, or a caller has split the arrays already, `function` itself comes back.

    Args:
      function: takes arrays, returns one array or a tuple of arrays that all have `out_axes`.
      in_axes: each argument's logical axes.
      out_axes: those of the results.
      split: the logical axes whose mesh axes are split by hand; the compiler goes on splitting along the others.
        None for all of the mesh's axes, which a kernel written by hand needs.

    Returns:
      A function of the same arguments. It raises ConfigError if a dimension doesn't divide by its devices.
    """
    mesh, free, rules = jax.sharding.get_abstract_mesh(), set(free_axes()), free_rules()
    names = free if split is None else {axis for name in split for axis in rules[name]} & free
    # XLA's partitioner refuses sums over axes of one device beside others that it splits itself.
    if mesh.empty or all(mesh.shape[axis] == 1 for axis in names):
        return function
    in_specs, out_specs = (
        tuple(partition_spec(axes, rules) for axes in in_axes),
        partition_spec(out_axes, rules),
    )
    local = jax.shard_map(function, in_specs=in_specs, out_specs=out_specs, axis_names=names, check_vma=False)

    def checked(*arrays: jax.Array) -> Any:
        for array, axes, spec in zip(arrays, in_axes, in_specs, strict=True):
            for logical, size, entry in zip(axes, array.shape, spec, strict=True):
                check_divides(mesh, f"The axis {logical!r} of an activation", size, entry)
        return local(*arrays)

    return checked


def over_replicas(function: Callable[..., tuple[Any, Any]]) -> Callable[..., tuple[Any, Any]]:
    """Returns `function` run by each replica of the parameters on its own rows, its results joined once, at the end.

    Replicas are what the mesh axes `slice` and `data` tell apart. Left to the compiler, whatever is summed up in a
    loop is summed over the replicas in each round of it, and between slices that is the slow network.

    Args:
      function: (params, batch, key, step) -> (a tree whose mean is wanted, a tree whose sum is wanted); of the
        batch's leaves it sees the replica's rows, and of the key one that is the replica's own.

    Returns:
      A function of the same arguments; `function` itself where no mesh is set or parameters have one replica.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or not set(REPLICAS) <= set(free_axes()) or all(mesh.shape[axis] == 1 for axis in REPLICAS):
        return function

    def one(params: Any, batch: Any, key: jax.Array, step: jax.Array) -> tuple[Any, Any]:
        means, sums = function(params, batch, jax.random.fold_in(key, jax.lax.axis_index(REPLICAS)), step)
        return jax.lax.pmean(means, REPLICAS), jax.lax.psum(sums, REPLICAS)

    whole = PartitionSpec()
    return jax.shard_map(
        one,
        in_specs=(whole, PartitionSpec(REPLICAS), whole, whole),
        out_specs=(whole, whole),
        axis_names=set(REPLICAS),
        check_vma=False,
    )
