"""Parameter trees: paths, masks and counts. A tree of parameters is a nested dict of arrays."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax

Params = Mapping[str, Any]
Axes = tuple[str | None, ...]


# Axes of parameters that scale, shift or time what passes, heads or channels apart.
_VECTORS = frozenset({"norm", "query_norm", "bias", "branch_bias", "rates"})


def path_name(path: tuple[Any, ...]) -> str:
    """Returns a JAX key path as `layers/attention/query`."""
    return "/".join(str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", key)))) for key in path)


def named_leaves(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> dict[str, Any]:
    """Returns {path name: leaf} in tree order."""
    return {path_name(path): leaf for path, leaf in jax.tree.leaves_with_path(tree, is_leaf=is_leaf)}


def is_axes(leaf: Any) -> bool:
    """Whether a leaf of a tree of logical axes: a tuple of names (jax would take it for a branch)."""
    return isinstance(leaf, tuple) and all(name is None or isinstance(name, str) for name in leaf)


def map_with_axes(function: Callable[..., Any], axes: Any, *trees: Any) -> Any:
    """Maps `function(axes_of_leaf, *leaves)` over trees of the same structure."""
    return jax.tree.map(function, axes, *trees, is_leaf=is_axes)


def count(tree: Any) -> int:
    """Returns the number of values in a tree of arrays or of abstract ones."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def size_in_bytes(tree: Any) -> int:
    """Returns the bytes of a tree of arrays or of abstract ones."""
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def is_vector(axes: Axes) -> bool:
    """Whether a parameter with these logical axes is gains, biases or rates, and not a matrix or a kernel.

    Layers stacked for a scan carry a leading axis `layers`, which is not one of the parameter's own.
    """
    return sum(name != "layers" for name in axes) < 2 or not _VECTORS.isdisjoint(axes)


def matrices(axes: Any) -> Any:
    """Returns a mask that is True for matrices and kernels and False for gains and biases."""
    return map_with_axes(lambda names: not is_vector(names), axes)
