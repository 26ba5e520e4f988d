"""Values that a loss needs and nobody learns: in the step as arguments, out of gradients, checkpoints and constants."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.training.toy import SGD_LIKE, LeastSquares, batches
from toto_jax.sharding.mesh import MeshConfig, make_mesh
from toto_jax.training.checkpoint import CheckpointConfig, Checkpoints
from toto_jax.training.loop import Trainer
from toto_jax.training.monitor import TrainConfig
from toto_jax.training.optimizer import OptimizerConfig
from toto_jax.training.task import Frozen

ANCHOR = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)


class Anchored(LeastSquares):
    """Parameters are drawn to an anchor alone, so that they end there."""

    def loss(self, params: Any, batch: Any, key: jax.Array, step: jax.Array) -> Any:
        distance = jnp.abs(params["matrix"] - params["anchor"]).sum() + 0 * batch["x"].sum()
        return distance, {"loss": (distance, jnp.float32(1))}


def anchored(
    anchor: np.ndarray = ANCHOR, devices: int = 1, mesh: MeshConfig | None = None, parts: int = 1
) -> Trainer:
    frozen = Frozen({"anchor": jax.ShapeDtypeStruct((8, 8), jnp.float32)}, lambda: {"anchor": anchor})
    return Trainer(
        Anchored(),
        OptimizerConfig(**SGD_LIKE, learning_rate=0.2, warmup_steps=0, ema=0.0),
        TrainConfig(steps=60, batch_size=16, microbatches=parts, log_every=20, max_bad_steps=3),
        make_mesh(mesh or MeshConfig(1, 1, -1, 1, 1), jax.devices()[:devices]),
        seed=0,
        frozen=frozen,
    )


@pytest.mark.parametrize(
    ("devices", "mesh", "parts"),
    [(1, None, 1), (4, MeshConfig(1, 2, 2, 1, 1), 2)],
    ids=["one device", "replicas in parts"],
)
def test_the_loss_finds_them_and_they_stay(devices: int, mesh: MeshConfig | None, parts: int) -> None:
    trained = anchored(devices=devices, mesh=mesh, parts=parts)
    state = trained.fit(batches(trained))
    np.testing.assert_allclose(state.params["matrix"], ANCHOR, atol=0.05)
    np.testing.assert_array_equal(state.frozen["anchor"], ANCHOR)
    assert set(state.params) == {"matrix", "gain"}


def test_they_are_read_anew_and_never_saved(tmp_path: pathlib.Path) -> None:
    """The same compiled program with another anchor: it is an argument."""
    trained = anchored()
    checkpoints = Checkpoints(tmp_path, CheckpointConfig(every=100, keep=1, keep_every=0), {})
    trained.fit(batches(trained), checkpoints=checkpoints)
    assert not [path for path in tmp_path.rglob("*") if "anchor" in path.name]
    moved = anchored(-ANCHOR)
    state = moved.restore(checkpoints)
    checkpoints.close()
    np.testing.assert_allclose(state.params["matrix"], ANCHOR, atol=0.05)
    np.testing.assert_array_equal(state.frozen["anchor"], -ANCHOR)
    batch = next(batches(moved)(0))
    with jax.set_mesh(moved.mesh):
        texts = [one.step.lower(one.init(), batch).as_text() for one in (trained, moved)]
    assert texts[0] == texts[1]
