"""Which mesh axis splits which logical axis: the one table, and the errors that come before a guess."""

import math
from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from toto_jax.errors import ConfigError, nearest
from toto_jax.tree import Axes, is_axes, named_leaves, path_name

MeshAxes = tuple[str, ...]

# Logical axis -> mesh axes that split it. Empty: never split, on purpose.
RULES: Mapping[str, MeshAxes] = {
    # activations
    "batch": ("slice", "data", "fsdp"),
    "sequence": ("sequence",),
    # Within attention a device has all positions of some heads (all-to-all before and after): causal work is then
    # the same for all, and any kernel serves.
    "attention_heads": ("tensor", "sequence"),
    # transformer parameters
    "layers": (),
    "vocabulary": ("tensor",),
    "embed": ("fsdp",),
    "heads": ("tensor",),
    "kv_heads": ("tensor",),
    "head_dim": (),
    "mlp": ("tensor",),
    "norm": (),
    "patch": (),
    "positions": (),
    "state": (),  # values of a channel's state, and the rank of its step
    "rates": (),
    "query_norm": (),  # see models.parametrisation
    "branch_bias": (),
    # convolution and probe parameters
    "kernel": (),
    "pixels": (),
    "channels_in": ("fsdp",),
    "channels_out": ("tensor",),
    "codes": (),
    "running_codes": (),  # see training.optimizer.assign
    "bias": (),
    "classes": (),
}


def partition_spec(axes: Axes, rules: Mapping[str, MeshAxes] = RULES) -> PartitionSpec:
    """Returns the spec of an array with these logical axes.

    Raises:
      ConfigError: on an unknown logical axis, or when two axes of the array land on one mesh axis.
    """
    used: dict[str, str] = {}
    entries = []
    for name in axes:
        if name is not None and name not in rules:
            raise ConfigError(f"No sharding rule for the logical axis {name!r}; {nearest(name, rules)}")
        mesh_axes = rules[name] if name is not None else ()
        for mesh_axis in mesh_axes:
            if mesh_axis in used:
                raise ConfigError(
                    f"Logical axes {used[mesh_axis]!r} and {name!r} of one array {axes} both map to the mesh "
                    f"axis {mesh_axis!r}; give one of them another rule in sharding/rules.py"
                )
            used[mesh_axis] = name
        entries.append(mesh_axes if len(mesh_axes) > 1 else (mesh_axes[0] if mesh_axes else None))
    return PartitionSpec(*entries)


def shardings(mesh: Mesh, axes: Any, shapes: Any) -> Any:
    """Returns a tree of `NamedSharding` for a tree of logical axes and one of (abstract) arrays.

    Raises:
      ConfigError: if a dimension doesn't divide by the devices that split it, with the nearest sizes that do.
    """
    axes_of = named_leaves(axes, is_leaf=is_axes)

    def one(path: tuple[Any, ...], leaf: jax.ShapeDtypeStruct) -> NamedSharding:
        name = path_name(path)
        spec = partition_spec(axes_of[name])
        for logical, size, entry in zip(axes_of[name], leaf.shape, spec, strict=True):
            check_divides(mesh, f"{name}: axis {logical!r}", size, entry)
        return NamedSharding(mesh, spec)

    return jax.tree.map_with_path(one, shapes)


def check_divides(mesh: Mesh, what: str, size: int, entry: str | MeshAxes | None) -> None:
    """Raises ConfigError if `size` isn't a multiple of the devices along `entry`, a PartitionSpec's entry."""
    names = (entry,) if isinstance(entry, str) else entry or ()
    parts = 1
    for name in names:
        parts *= mesh.shape[name]
    if size % parts:
        below = size - size % parts
        legal = f"{below} or {below + parts}" if below else f"{parts}"
        axes = " x ".join(f"{name} {mesh.shape[name]}" for name in names)
        raise ConfigError(
            f"{what} of size {size} doesn't divide by the mesh's {axes} = {parts}; {legal} would"
        )


def constrain(x: jax.Array, *axes: str | None) -> jax.Array:
    """Pins an activation's sharding by logical axes; does nothing where no mesh is set (one-device use)."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1 or not free_axes():
        return x
    # The positions of a prompt need not divide, and then they stay whole; a training step's are padded.
    axes = tuple(
        None if name == "sequence" and size % parts_of(name) else name
        for name, size in zip(axes, x.shape, strict=True)
    )
    return jax.lax.with_sharding_constraint(x, partition_spec(axes, free_rules()))


def parts_of(logical: str) -> int:
    """Returns into how many parts the mesh that is set splits a logical axis; 1 where none is set."""
    mesh = jax.sharding.get_abstract_mesh()
    return 1 if mesh.empty else math.prod(mesh.shape[axis] for axis in free_rules()[logical])


def free_axes() -> MeshAxes:
    """Returns the axes of the mesh that is set which no caller has split by hand (`jax.shard_map`) already."""
    mesh = jax.sharding.get_abstract_mesh()
    kinds = zip(mesh.axis_names, mesh.axis_types, strict=True)
    return tuple(name for name, kind in kinds if kind != AxisType.Manual)


def free_rules() -> Mapping[str, MeshAxes]:
    """Returns `RULES` without the mesh axes that a caller has split already: inside, arrays are local along them."""
    mesh, free = jax.sharding.get_abstract_mesh(), free_axes()
    return {
        name: tuple(axis for axis in axes if axis in free or axis not in mesh.axis_names)
        for name, axes in RULES.items()
    }
