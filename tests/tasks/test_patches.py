"""Both tasks of patches: what they predict from what, against computations of their own."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.models.test_patches import cut
from tests.tasks.test_next_token import CONFIG
from toto_jax.errors import ConfigError
from toto_jax.models.functional import Functional
from toto_jax.models.llama import Llama
from toto_jax.models.patches import PatchEnds
from toto_jax.tasks.next_token import NextToken, NextTokenConfig
from toto_jax.tasks.patches import PatchesConfig, PatchToCode, PatchToPatch
from toto_jax.tree import matrices, named_leaves
from toto_jax.video import IMAGE_START, VIDEO_START, ClipGeometry, to_sequences

GEOMETRY = ClipGeometry(2, 2, 2)
SIDE, SIZE, CODES = 4, 8, 12
DECODER = Llama(dataclasses.replace(CONFIG, init_std=0.3), 0)
TASKS = ["to_patch", "to_code"]


def to_patch() -> PatchToPatch:
    return PatchToPatch(DECODER, GEOMETRY, PatchesConfig(SIDE, 1))


def to_code() -> PatchToCode:
    return PatchToCode(DECODER, GEOMETRY, PatchesConfig(SIDE, 3), 16)


@functools.cache
def build(name: str) -> tuple[PatchToPatch | PatchToCode, Any]:
    task = {"to_patch": to_patch, "to_code": to_code}[name]()
    return task, jax.jit(task.init)(jax.random.key(0))


def batch(clips: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    start_B = np.array([VIDEO_START, VIDEO_START, IMAGE_START], np.int32)[:clips]
    return {
        "pixels": rng.integers(0, 256, (clips, 2, SIZE, SIZE, 3), np.uint8),
        "start": start_B,
        "ids": to_sequences(rng.integers(0, CODES, (clips, GEOMETRY.codes)), start_B),
    }


def states(params: Any, rows: dict[str, np.ndarray]) -> np.ndarray:
    """The decoder's final states over the start token and all patches but the last, embedded in NumPy."""
    known = cut(rows["pixels"], SIDE)[:, :-1]
    embedded = known @ np.asarray(params["patch_embedding"], np.float64) + np.asarray(params["patch_bias"])
    start = np.asarray(params["start"])[(rows["start"] == IMAGE_START).astype(int)]
    x_BTD = np.concatenate([start[:, None], embedded], axis=1).astype(np.float32)
    own = {name: params[name] for name in ("final_norm", "layers")}
    return np.asarray(jax.jit(DECODER.final_states)(own, jnp.asarray(x_BTD)), np.float64)


def test_the_error_of_a_patch_is_that_of_the_head_one_position_before() -> None:
    (task, params), rows = build("to_patch"), batch()
    patches = cut(rows["pixels"], SIDE)
    spread = np.sqrt(patches.var(-1, ddof=1, keepdims=True) + 1e-6)
    targets = (patches - patches.mean(-1, keepdims=True)) / spread
    errors = (states(params, rows) @ np.asarray(params["head"], np.float64) - targets) ** 2
    np.testing.assert_allclose(jax.jit(task.position_loss)(params, rows), errors.mean(-1), rtol=2e-4)
    loss, metrics = jax.jit(task.loss)(params, rows, jax.random.key(0), jnp.int32(0))
    assert float(loss) == pytest.approx(errors.mean(), rel=1e-4)
    assert float(metrics["loss"][1]) == 3 * 8 * 48


def test_the_loss_of_a_code_is_that_of_a_toto_with_the_same_logits() -> None:
    """A Toto whose embedding of id n is the state that the patches have at that position sees the same logits."""
    (task, params), rows = build("to_code"), batch()

    class FromStates:
        """A decoder that gives these states and this head, whatever the ids."""

        config, vocabulary = DECODER.config, 16

        def logit_factors(self, _: Any, ids_BT: jax.Array) -> tuple[jax.Array, jax.Array]:
            x_BTD = jnp.asarray(states(params, rows), jnp.float32)
            return jnp.pad(x_BTD, ((0, 0), (0, ids_BT.shape[1] - 8), (0, 0))), params["head"]

    toto = NextToken(FromStates(), GEOMETRY, NextTokenConfig(end_token_loss=True, loss_chunks=1))
    found = jax.jit(task.position_loss)(params, rows)
    np.testing.assert_allclose(found, toto.nll(params, rows["ids"])[:, :8], rtol=1e-4)
    logits = states(params, rows) @ np.asarray(params["head"], np.float64)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    wanted = -np.take_along_axis(log_p, rows["ids"][:, 1:-1, None], axis=2)[..., 0]
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
    assert float(jax.jit(task.loss)(params, rows, jax.random.key(0), jnp.int32(0))[0]) == pytest.approx(
        wanted.mean(), rel=1e-4
    )


@pytest.mark.parametrize("name", TASKS)
def test_no_loss_depends_on_the_pixels_of_a_later_patch(name: str) -> None:
    """Patch 5 is changed: the losses of 0 to 4 stay bitwise, those after it change, and so does a regression's own."""
    (task, params), rows = build(name), batch()
    loss = jax.jit(task.position_loss)
    before = np.asarray(loss(params, rows))
    pixels = rows["pixels"].copy()
    pixels[:, 1, :SIDE, SIDE:] = (
        255 - pixels[:, 1, :SIDE, SIDE:]
    )  # patch 5: frame 1, first row, second column
    after = np.asarray(loss(params, {**rows, "pixels": pixels}))
    changed = (before != after).all(axis=0)
    own = name == "to_patch"
    np.testing.assert_array_equal(changed, [False] * 5 + [own] + [True] * 2)
    np.testing.assert_array_equal(before[:, :5], after[:, :5])


def test_gradients_reach_only_the_patches_before() -> None:
    """Through embedding, decoder and head: output 0 sees the start token alone, output i the patches 0 to i - 1."""
    _, params = build("to_patch")
    own = {name: params[name] for name in ("final_norm", "layers")}
    structure = Functional(lambda rngs: PatchEnds(DECODER.config, 48, 48, "patch", rngs))
    ends = structure.bind({name: params[name] for name in structure.logical_axes()})

    def outputs(patches_NP: jax.Array) -> jax.Array:
        x_BTD = ends.embed(patches_NP[None], jnp.array([VIDEO_START]))
        return ends.predict(DECODER.final_states(own, x_BTD))[0].sum(-1)

    jacobian = jax.jit(jax.jacobian(outputs))(jax.random.normal(jax.random.key(1), (7, 48)))
    reached = np.abs(np.asarray(jacobian)).sum(-1) > 0
    np.testing.assert_array_equal(reached, np.tril(np.ones((8, 7), bool), -1))


@pytest.mark.parametrize("name", TASKS)
def test_features_stand_at_their_own_patch(name: str) -> None:
    """The embedding of patch n is the feature n of layer 0; a clip may have fewer frames."""
    (task, params), rows = build(name), batch()
    features = jax.jit(task.features, static_argnums=2)
    hidden_LBND = features(params, rows, (0, 1))
    assert hidden_LBND.shape == (2, 3, 8, CONFIG.d_model)
    wanted = cut(rows["pixels"], SIDE) @ np.asarray(params["patch_embedding"], np.float64)
    np.testing.assert_allclose(hidden_LBND[0], wanted, rtol=1e-3, atol=1e-4)
    short = features(params, {**rows, "pixels": rows["pixels"][:, :1]}, (1,))
    np.testing.assert_allclose(short[0], hidden_LBND[1, :, :4], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", TASKS)
def test_every_parameter_learns_and_none_is_of_another_task(name: str) -> None:
    (task, params), rows = build(name), batch()
    assert {path.split("/")[0] for path in named_leaves(params)} == {
        "start", "patch_embedding", "patch_bias", "head", "final_norm", "layers",
    }  # fmt: skip
    wanted = {name: rows[name] for name in task.batch_spec(3)}
    assert {name: (leaf.shape, leaf.dtype) for name, leaf in task.batch_spec(3).items()} == {
        name: (leaf.shape, leaf.dtype) for name, leaf in wanted.items()
    }
    gradients = jax.jit(jax.grad(lambda p: task.loss(p, wanted, jax.random.key(0), jnp.int32(0))[0]))(params)
    for path, gradient in named_leaves(gradients).items():
        assert np.abs(np.asarray(gradient)).max() > 0, path
    decayed = named_leaves(matrices(task.logical_axes()))
    assert decayed["patch_embedding"]
    assert not decayed["patch_bias"]


def planted() -> dict[str, np.ndarray]:
    """Clips in which each patch is the one before it in negative, and its code says which of the two it is."""
    rng = np.random.default_rng(0)
    clips, first_BP = 32, rng.integers(0, 256, (32, SIDE, SIDE, 3))
    negative_B = rng.integers(0, 2, clips)
    pixels = np.empty((clips, 2, SIZE, SIZE, 3), np.uint8)
    codes = np.empty((clips, GEOMETRY.codes), np.int64)
    for n in range(GEOMETRY.codes):
        frame, row, column = n // 4, n % 4 // 2 * SIDE, n % 2 * SIDE
        turned_B = (negative_B + n) % 2
        patch = np.where(turned_B[:, None, None, None], 255 - first_BP, first_BP)
        pixels[:, frame, row : row + SIDE, column : column + SIDE] = patch
        codes[:, n] = turned_B
    start_B = np.full(clips, VIDEO_START, np.int32)
    return {"pixels": pixels, "start": start_B, "ids": to_sequences(codes, start_B)}


@pytest.mark.parametrize(("name", "steps", "bound"), [("to_patch", 150, 0.35), ("to_code", 80, 0.15)])
def test_what_is_planted_is_learned(name: str, steps: int, bound: float) -> None:
    """Only the first patch can't be known; after it, each follows from the one before."""
    (task, params), rows = build(name), planted()
    optimizer = optax.adam(1e-2)

    @jax.jit
    def step(params: Any, state: Any) -> tuple[Any, Any, jax.Array]:
        loss, gradients = jax.value_and_grad(
            lambda p: task.loss(p, rows, jax.random.key(0), jnp.int32(0))[0]
        )(params)
        updates, state = optimizer.update(gradients, state)
        return optax.apply_updates(params, updates), state, loss

    state = optimizer.init(params)
    first = None
    for _ in range(steps):
        params, state, loss = step(params, state)
        first = float(loss) if first is None else first
    by_position = np.asarray(jax.jit(task.position_loss)(params, rows)).mean(0)
    assert float(loss) < 0.5 * first
    assert by_position[1:].mean() < bound * by_position[0]


@pytest.mark.parametrize(
    "wrong", [lambda: PatchesConfig(side=0, loss_chunks=1), lambda: PatchesConfig(side=4, loss_chunks=0)]
)
def test_nothing_is_made_of_nothing(wrong: Callable[[], PatchesConfig]) -> None:
    with pytest.raises(ConfigError, match="config.patches.* must be 1 or more, got 0"):
        wrong()
