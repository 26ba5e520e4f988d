"""Flax modules as pure functions: values apart from structure.

A module is built abstractly once; its values are a plain nested dict that any JAX transform takes, and that a
checkpoint stores without a trace of the framework.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

from toto_jax.tree import Axes, Params, map_with_axes

Initializer = Callable[..., jax.Array]
Module = TypeVar("Module", bound=nnx.Module)


def parameter(rngs: nnx.Rngs, shape: tuple[int, ...], axes: Axes, init: Initializer) -> nnx.Param:
    """Returns a float32 parameter; its line says everything of it.

    Args:
      rngs: where its key comes from.
      shape: its shape.
      axes: a logical axis name (or None) for each dimension; `sharding.rules` maps them to mesh axes.
      init: `init(key, shape, dtype)`.
    """
    if len(shape) != len(axes):
        raise ValueError(f"A parameter of shape {shape} needs {len(shape)} logical axes, got {axes}")
    return nnx.Param(init(rngs.params(), shape, jnp.float32), logical_axes=axes)


class Functional(Generic[Module]):
    """A module's structure; values come in as arguments.

    Args:
      build: makes the module from its random streams.
    """

    def __init__(self, build: Callable[[nnx.Rngs], Module]):
        self._build = build
        self._graph, self._abstract = nnx.split(nnx.eval_shape(lambda: build(nnx.Rngs(0))))

    def init(self, key: jax.Array) -> dict[str, Any]:
        """Returns fresh values."""
        return nnx.to_pure_dict(nnx.state(self._build(nnx.Rngs(params=key)), nnx.Param))

    def shapes(self) -> dict[str, Any]:
        """Returns a tree like `init`'s of abstract values."""
        return jax.eval_shape(lambda: self.init(jax.random.key(0)))

    def logical_axes(self) -> dict[str, Any]:
        """Returns a tree like `init`'s with each parameter's axes."""
        axes = jax.tree.map(
            lambda leaf: leaf.get_metadata()["logical_axes"],
            self._abstract,
            is_leaf=lambda leaf: isinstance(leaf, nnx.Variable),
        )
        return nnx.to_pure_dict(axes)

    def bind(self, params: Params) -> Module:
        """Returns the module with these values."""
        return nnx.merge(self._graph, params)


class Stack(Generic[Module]):
    """`layers` modules of one structure whose values are stacked along a leading axis, to be scanned over."""

    def __init__(self, build: Callable[[nnx.Rngs], Module], layers: int):
        self.layer = Functional(build)
        self.layers = layers

    def init(self, key: jax.Array) -> dict[str, Any]:
        """Returns values with a leading axis of length `layers`."""
        return jax.vmap(self.layer.init)(jax.random.split(key, self.layers))

    def shapes(self) -> dict[str, Any]:
        """Returns a tree like `init`'s of abstract values."""
        return jax.eval_shape(lambda: self.init(jax.random.key(0)))

    def logical_axes(self) -> dict[str, Any]:
        """Returns each parameter's axes with `layers` in front."""
        return map_with_axes(lambda axes: ("layers", *axes), self.layer.logical_axes())
