"""Functions that each device runs on its own part of the arrays, where the compiler can't or shouldn't split them."""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import AxisType

from toto_jax.sharding.rules import RULES, check_divides, partition_spec
from toto_jax.tree import Axes


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
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1 or AxisType.Manual in mesh.axis_types:
        return function
    names = set(mesh.axis_names) if split is None else {axis for name in split for axis in RULES[name]}
    in_specs, out_specs = tuple(partition_spec(axes) for axes in in_axes), partition_spec(out_axes)
    local = jax.shard_map(
        function,
        in_specs=in_specs,
        out_specs=out_specs,
        axis_names=names & set(mesh.axis_names),
        check_vma=False,
    )

    def checked(*arrays: jax.Array) -> Any:
        for array, axes, spec in zip(arrays, in_axes, in_specs, strict=True):
            for logical, size, entry in zip(axes, array.shape, spec, strict=True):
                check_divides(mesh, f"The axis {logical!r} of an activation", size, entry)
        return local(*arrays)

    return checked
