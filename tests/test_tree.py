import jax.numpy as jnp

from toto_jax.tree import count, matrices, named_leaves, size_in_bytes

TREE = {"a": {"kernel": jnp.zeros((2, 3)), "gain": jnp.zeros((4,), jnp.bfloat16)}}


def test_paths_counts_and_bytes() -> None:
    assert list(named_leaves(TREE)) == ["a/gain", "a/kernel"]
    assert count(TREE) == 10
    assert size_in_bytes(TREE) == 2 * 3 * 4 + 4 * 2


def test_stacked_gains_are_not_matrices() -> None:
    axes = {"kernel": ("layers", "embed", "mlp"), "gain": ("layers", "norm"), "head": ("embed", "vocabulary")}
    assert matrices(axes) == {"kernel": True, "gain": False, "head": True}
