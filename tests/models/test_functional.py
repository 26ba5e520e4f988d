import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from toto_jax.models.functional import Functional, Stack, parameter


class Affine(nnx.Module):
    def __init__(self, size: int, rngs: nnx.Rngs):
        self.kernel = parameter(rngs, (size, size), ("embed", "mlp"), nnx.initializers.normal(1.0))
        self.gain = parameter(rngs, (size,), ("norm",), nnx.initializers.ones)

    def __call__(self, x: jax.Array) -> jax.Array:
        return x @ self.kernel[...] * self.gain[...]


def build(rngs: nnx.Rngs) -> Affine:
    return Affine(3, rngs)


def test_values_are_plain_dicts_and_axes_mirror_them() -> None:
    functional = Functional(build)
    params = functional.init(jax.random.key(0))
    assert {name: value.shape for name, value in params.items()} == {"kernel": (3, 3), "gain": (3,)}
    assert functional.logical_axes() == {"kernel": ("embed", "mlp"), "gain": ("norm",)}


def test_binding_computes_with_the_given_values() -> None:
    functional = Functional(build)
    params = {"kernel": 2 * jnp.eye(3), "gain": jnp.array([1.0, 2.0, 3.0])}
    np.testing.assert_array_equal(functional.bind(params)(jnp.ones(3)), [2, 4, 6])
    gradient = jax.grad(lambda params: functional.bind(params)(jnp.ones(3)).sum())(params)
    np.testing.assert_array_equal(gradient["gain"], [2, 2, 2])


def test_a_stack_has_layers_of_their_own_in_front() -> None:
    stack = Stack(build, 4)
    params = stack.init(jax.random.key(0))
    assert params["kernel"].shape == (4, 3, 3)
    assert not np.allclose(params["kernel"][0], params["kernel"][1])
    assert stack.logical_axes() == {"kernel": ("layers", "embed", "mlp"), "gain": ("layers", "norm")}


def test_axes_must_be_as_many_as_dimensions() -> None:
    with pytest.raises(ValueError, match=r"\(3, 3\) needs 2 logical axes"):
        parameter(nnx.Rngs(0), (3, 3), ("embed",), nnx.initializers.ones)
