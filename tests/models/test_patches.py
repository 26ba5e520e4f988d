"""Patches and their normalisation against loops in NumPy, and sums done by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.models.test_llama import CONFIG, params_of
from toto_jax.models.functional import Functional
from toto_jax.models.llama import Llama
from toto_jax.models.patches import PatchEnds, normalise, patchify
from toto_jax.tree import named_leaves
from toto_jax.video import IMAGE_START, VIDEO_START

VALUES = 12


def cut(pixels_BFHWC: np.ndarray, side: int) -> np.ndarray:
    """Patches one by one, value by value, in float64."""
    clips, frames, height, width, colours = pixels_BFHWC.shape
    return np.array(
        [
            [
                [
                    clip[frame, top + row, left + column, colour] / 127.5 - 1
                    for row in range(side)
                    for column in range(side)
                    for colour in range(colours)
                ]
                for frame in range(frames)
                for top in range(0, height, side)
                for left in range(0, width, side)
            ]
            for clip in pixels_BFHWC.astype(np.float64)
        ]
    )


def test_patches_come_by_frame_and_row_their_values_by_row_column_and_colour() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 6, 3), np.uint8)
    np.testing.assert_allclose(patchify(pixels, 2), cut(pixels, 2), atol=1e-6)


def test_the_variance_is_the_unbiased_one() -> None:
    """Of 0, 0, 3, 3 the mean is 1.5 and the squares sum up to 9: over 3 that is 3, and not 9 / 4."""
    found = normalise(jnp.array([[[0.0, 0.0, 3.0, 3.0]]]))
    np.testing.assert_allclose(found[0, 0], np.array([-1.5, -1.5, 1.5, 1.5]) / np.sqrt(3 + 1e-6), rtol=1e-6)


def test_normalised_patches_against_numpy() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 1, 4, 4, 3), np.uint8)
    patches = cut(pixels, 2)
    wanted = (patches - patches.mean(-1, keepdims=True)) / np.sqrt(
        patches.var(-1, ddof=1, keepdims=True) + 1e-6
    )
    np.testing.assert_allclose(normalise(patchify(pixels, 2)), wanted, atol=1e-5)


def test_an_even_patch_becomes_nothing() -> None:
    grey = normalise(patchify(np.full((1, 1, 4, 4, 3), 77, np.uint8), 4))
    np.testing.assert_allclose(grey, 0, atol=1e-3)


def ends() -> tuple[PatchEnds, dict[str, jax.Array]]:
    def build(rngs: nnx.Rngs) -> PatchEnds:
        return PatchEnds(CONFIG, VALUES, 5, "patch", rngs)

    structure = Functional(build)
    params = structure.init(jax.random.key(0))
    params["patch_bias"] = jax.random.normal(jax.random.key(1), (CONFIG.d_model,))
    return structure.bind(params), params


def test_the_start_token_stands_in_front_and_every_patch_is_a_product_and_a_bias() -> None:
    module, params = ends()
    patches_BNP = jax.random.normal(jax.random.key(2), (2, 3, VALUES))
    x_BTD = module.embed(patches_BNP, jnp.array([VIDEO_START, IMAGE_START]))
    assert x_BTD.shape == (2, 4, CONFIG.d_model)
    np.testing.assert_array_equal(x_BTD[:, 0], params["start"])
    wanted = np.asarray(patches_BNP) @ np.asarray(params["patch_embedding"]) + np.asarray(
        params["patch_bias"]
    )
    np.testing.assert_allclose(x_BTD[:, 1:], wanted, rtol=1e-4, atol=1e-5)


def test_what_is_computed_in_bfloat16_is_predicted_in_float32() -> None:
    module, _ = ends()
    half = dataclasses.replace(CONFIG, dtype="bfloat16")
    structure = Functional(lambda rngs: PatchEnds(half, VALUES, 5, "patch", rngs))
    module = structure.bind(structure.init(jax.random.key(0)))
    x_BTD = module.embed(jnp.ones((1, 3, VALUES)), jnp.array([VIDEO_START]))
    assert x_BTD.dtype == jnp.bfloat16
    assert module.predict(x_BTD).dtype == jnp.float32


def test_a_decoder_without_a_vocabulary_takes_what_is_embedded_and_has_no_more_than_it_uses() -> None:
    """Its blocks and its norm are those of a decoder of ids: given the same embedding, it ends in the same states."""
    whole, bare = Llama(CONFIG, 40), Llama(CONFIG, 0)
    params = params_of(whole)
    own = {name: values for name, values in params.items() if name not in ("embedding", "head")}
    assert set(named_leaves(jax.eval_shape(bare.init, jax.random.key(0)))) == set(named_leaves(own))
    ids_BT = jnp.arange(10).reshape(2, 5)
    states_BTD, head_DV = jax.jit(whole.logit_factors)(params, ids_BT)
    found_BTD = jax.jit(bare.final_states)(own, params["embedding"][ids_BT])
    np.testing.assert_allclose(found_BTD, states_BTD, rtol=1e-5)
    np.testing.assert_array_equal(head_DV, params["head"])


@pytest.mark.parametrize("outputs_axis", ["patch", "vocabulary"])
def test_every_parameter_has_axes(outputs_axis: str) -> None:
    structure = Functional(lambda rngs: PatchEnds(CONFIG, VALUES, 8, outputs_axis, rngs))
    shapes = jax.eval_shape(structure.init, jax.random.key(0))
    axes = structure.logical_axes()
    assert {name: len(leaf.shape) for name, leaf in shapes.items()} == {
        name: len(axes[name]) for name in axes
    }
    assert axes["head"] == ("embed", outputs_axis)
