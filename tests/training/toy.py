"""A task small enough to do by hand: fit y = x @ w by least squares, and batches that are a function of the step."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from toto_jax.sharding.mesh import MeshConfig, make_mesh
from toto_jax.training.loop import Trainer
from toto_jax.training.monitor import TrainConfig
from toto_jax.training.optimizer import OptimizerConfig

SGD_LIKE = dict(
    b1=0.9, b2=0.95, eps=1e-8, weight_decay=0.0, clip_norm=0.0, end_learning_rate=0.0, decay_steps=0
)


class LeastSquares:
    """Parameters: matrix (8, 8) and gain (8,). A batch whose x is NaN gives a NaN loss."""

    activation_axes = ()

    def init(self, key: jax.Array) -> dict[str, Any]:
        return {"matrix": jax.random.normal(key, (8, 8)), "gain": jnp.ones((8,))}

    def logical_axes(self) -> dict[str, Any]:
        return {"matrix": ("embed", "mlp"), "gain": ("norm",)}

    def batch_spec(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
        shape = jax.ShapeDtypeStruct((batch_size, 8), jnp.float32)
        return {"x": shape, "y": shape}

    def loss(self, params: Any, batch: Any, key: jax.Array, step: jax.Array) -> Any:
        noise = 0.01 * jax.random.normal(key, ())
        error = batch["x"] @ params["matrix"] * params["gain"] - batch["y"]
        loss = (error**2).mean() + noise
        return loss, {"loss": ((error**2).sum(), jnp.float32(error.size))}


def batch_of(step: int, bad_steps: tuple[int, ...] = ()) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(step)
    x = rng.normal(size=(16, 8)).astype(np.float32)
    if step in bad_steps:
        x[3, 0] = np.nan
    return {"x": x, "y": x[:, ::-1].copy()}


def trainer(steps: int = 8, devices: int = 1, mesh: MeshConfig | None = None, **changes: Any) -> Trainer:
    """A trainer of the toy; `changes` go to OptimizerConfig and TrainConfig by name."""
    optimizer = dict(SGD_LIKE, learning_rate=0.05, warmup_steps=2, ema=0.0)
    train = dict(steps=steps, batch_size=16, microbatches=1, log_every=1, max_bad_steps=3)
    for name, value in changes.items():
        (optimizer if name in optimizer else train)[name] = value
    return Trainer(
        LeastSquares(),
        OptimizerConfig(**optimizer),
        TrainConfig(**train),
        make_mesh(mesh or MeshConfig(1, 1, -1, 1, 1), jax.devices()[:devices]),
        seed=0,
    )


def batches(trained: Trainer, bad_steps: tuple[int, ...] = ()) -> Any:
    """Step -> iterator of batches on the trainer's devices."""

    def from_step(step: int) -> Iterator[Any]:
        while True:
            yield jax.device_put(batch_of(step, bad_steps), trained.batch_shardings)
            step += 1

    return from_step
