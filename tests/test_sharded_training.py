"""One device and eight give the same losses and gradients, for the real models and the real tokenizers."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable

import jax
import numpy as np
import pytest

from tests.tokenizers.tiny_vqgan import tiny_vqgan
from toto_jax.models.llama import Llama, LlamaConfig
from toto_jax.planning.collectives import read_collectives
from toto_jax.sharding.mesh import MeshConfig, make_mesh
from toto_jax.tasks.dvae import DVAETask, DVAETaskConfig
from toto_jax.tasks.next_token import NextToken, NextTokenConfig
from toto_jax.tasks.patches import PatchesConfig, PatchToCode
from toto_jax.tasks.vqgan import VQGANTask, VQGANTaskConfig
from toto_jax.tokenizers.dvae import DVAE
from toto_jax.tokenizers.dvae_network import DVAEConfig
from toto_jax.training.checkpoint import abstract_like
from toto_jax.training.loop import Trainer
from toto_jax.training.monitor import TrainConfig
from toto_jax.training.optimizer import OptimizerConfig
from toto_jax.training.task import Task
from toto_jax.tree import count, named_leaves
from toto_jax.video import ClipGeometry, to_sequences

GEOMETRY = ClipGeometry(2, 4, 4)
OPTIMIZER = OptimizerConfig(
    learning_rate=1e-2, end_learning_rate=0.0, warmup_steps=1, decay_steps=0, b1=0.9, b2=0.95, eps=1e-3,
    weight_decay=0.1, clip_norm=1.0, ema=0.0,
)  # fmt: skip


def toto() -> Task:
    config = LlamaConfig(
        layers=2, d_model=32, heads=4, kv_heads=2, head_dim=8, d_ff=64, rope_base=1e4,
        rope_grid=(), qk_norm=False, norm_eps=1e-6, init_std=0.1,
        tied_head=False, vocabulary_multiple=16, dtype="float32", attention="chunked", remat="full", scan_unroll=1,
    )  # fmt: skip
    return NextToken(Llama(config, 64), GEOMETRY, NextTokenConfig(True, loss_chunks=2))


def patch_to_code() -> Task:
    """Of 27 patches, so that positions have to be filled up to be split in two."""
    config = dataclasses.replace(toto().decoder.config, layers=1, attention="reference", remat="none")
    return PatchToCode(Llama(config, 0), ClipGeometry(3, 3, 3), PatchesConfig(2, 2), 64)


def dvae() -> Task:
    loss = DVAETaskConfig(
        kl_weight=1.0, kl_steps=2, temperature_start=1.0, temperature_end=0.5, temperature_steps=4, flip=True,
        crop=4, crop_from=(6, 8), min_scale=0.1,
    )  # fmt: skip
    network = DVAE(DVAEConfig(codebook_size=16, width=32, decoder_stem=32, halvings=1, blocks=1))
    return DVAETask(network, loss, frames=1, size=8)


def vqgan() -> Task:
    """With all that it can have: a discriminator that counts at once, running means, codes that start anew."""
    loss = VQGANTaskConfig(
        commitment_weight=1.0, codebook_weight=0.0, codebook="averaged", codebook_decay=0.5, restart_below=0.6,
        entropy_weight=0.0, diversity_weight=0.0, entropy_temperature=1.0, adversarial_weight=0.5, adversarial_start=0,
        discriminator_start=0, discriminator_width=8, discriminator_layers=1, perceptual_weight=0.0,
        perceptual_weights="", flip=True,
    )  # fmt: skip
    sizes = {"halvings": 1, "multipliers": (1, 1), "attention": (), "code_width": 8, "latent": 16}
    return VQGANTask(tiny_vqgan(**sizes), loss, frames=1, size=8)


def batch_of(task: Task, step: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(step)
    made = {}
    for name, leaf in task.batch_spec(8).items():
        if name == "ids":
            made[name] = to_sequences(rng.integers(0, 60, (8, leaf.shape[1] - 2)), np.ones(8, np.int32))
        else:
            made[name] = rng.integers(0, 256, leaf.shape).astype(leaf.dtype)
    return made


def train(
    task: Task, mesh: MeshConfig, devices: int, microbatches: int = 1
) -> tuple[list[float], dict[str, np.ndarray]]:
    """Returns three steps' losses and gradient norms, and the parameters after them."""
    config = TrainConfig(4, 8, microbatches, 1, 1)
    trainer = Trainer(task, OPTIMIZER, config, make_mesh(mesh, jax.devices()[:devices]), seed=0)
    state = trainer.init()
    numbers = []
    with jax.set_mesh(trainer.mesh):
        for step in range(3):
            batch = jax.device_put(batch_of(task, step), trainer.batch_shardings)
            state, metrics = trainer.step(state, batch)
            numbers += [float(metrics[name][0]) / float(metrics[name][1]) for name in ("loss", "grad_norm")]
    return numbers, {name: np.asarray(leaf) for name, leaf in named_leaves(state.params).items()}


# Every way to lay 8 devices out as slice x data x fsdp x sequence x tensor with at most two splits of the model, which
# has two key-value heads to give away to sequence and tensor.
MESHES = [
    MeshConfig(*sizes)
    for sizes in itertools.product((1, 2), (1, 2, 4, 8), (1, 2, 4, 8), (1, 2), (1, 2))
    if math.prod(sizes) == 8 and sizes[3] * sizes[4] <= 2
]


@functools.cache
def one_device() -> tuple[list[float], dict[str, np.ndarray]]:
    return train(toto(), MeshConfig(1, 1, 1, 1, 1), 1)


def name(mesh: MeshConfig) -> str:
    return "x".join(map(str, dataclasses.astuple(mesh)))


def eight_heads() -> Task:
    decoder = dataclasses.replace(toto().decoder.config, heads=8, kv_heads=8)
    return NextToken(Llama(decoder, 64), GEOMETRY, NextTokenConfig(True, loss_chunks=2))


@functools.cache
def one_device_with_eight_heads() -> tuple[list[float], dict[str, np.ndarray]]:
    return train(eight_heads(), MeshConfig(1, 1, 1, 1, 1), 1)


@pytest.mark.parametrize(
    "mesh",
    [
        MeshConfig(1, 1, 1, 1, 8),
        MeshConfig(1, 1, 1, 8, 1),
        MeshConfig(1, 1, 1, 2, 4),
        MeshConfig(1, 1, 2, 1, 4),
        MeshConfig(1, 2, 1, 2, 2),
    ],
    ids=lambda mesh: "x".join(map(str, dataclasses.astuple(mesh))),
)
def test_the_model_may_be_split_into_as_many_parts_as_it_has_heads(mesh: MeshConfig) -> None:
    numbers, params = one_device_with_eight_heads()
    spread_numbers, spread_params = train(eight_heads(), mesh, 8)
    np.testing.assert_allclose(numbers, spread_numbers, rtol=2e-5)
    for name, values in params.items():
        np.testing.assert_allclose(values, spread_params[name], rtol=1e-3, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("mesh", MESHES, ids=name)
def test_eight_devices_teach_a_toto_what_one_does(mesh: MeshConfig) -> None:
    numbers, params = one_device()
    spread_numbers, spread_params = train(toto(), mesh, 8)
    np.testing.assert_allclose(numbers, spread_numbers, rtol=2e-5)
    for name, values in params.items():
        np.testing.assert_allclose(values, spread_params[name], rtol=1e-3, atol=2e-5, err_msg=name)


def test_eight_devices_teach_a_model_of_patches_what_one_does() -> None:
    numbers, params = train(patch_to_code(), MeshConfig(1, 1, 1, 1, 1), 1)
    spread_numbers, spread_params = train(patch_to_code(), MeshConfig(1, 2, 2, 2, 1), 8, microbatches=2)
    np.testing.assert_allclose(numbers, spread_numbers, rtol=2e-5)
    for name, values in params.items():
        np.testing.assert_allclose(values, spread_params[name], rtol=1e-3, atol=2e-5, err_msg=name)


@pytest.mark.parametrize(
    "mesh",
    [
        MeshConfig(2, 1, 2, 1, 2), MeshConfig(2, 2, 1, 2, 1), MeshConfig(2, 2, 1, 1, 1), MeshConfig(1, 2, 2, 1, 2),
        MeshConfig(1, 1, 2, 2, 1),
    ],
    ids=name,
)  # fmt: skip
def test_microbatches_are_summed_up_to_the_same_over_all_devices(mesh: MeshConfig) -> None:
    numbers, params = one_device()
    devices = math.prod(dataclasses.astuple(mesh))
    spread_numbers, spread_params = train(toto(), mesh, devices, microbatches=2)
    np.testing.assert_allclose(numbers, spread_numbers, rtol=2e-5)
    for name, values in params.items():
        np.testing.assert_allclose(values, spread_params[name], rtol=1e-3, atol=2e-5, err_msg=name)


def sent_between_replicas(microbatches: int) -> float:
    """Returns the bytes that a device of 2 slices x 2 x fsdp 2 sends along `slice` and `data` in a step."""
    task = toto()
    mesh = make_mesh(MeshConfig(2, 2, 2, 1, 1))
    trainer = Trainer(task, OPTIMIZER, TrainConfig(4, 32, microbatches, 1, 1), mesh, seed=0)
    state = abstract_like(trainer.abstract_state, trainer.state_shardings)
    batch = abstract_like(task.batch_spec(32), trainer.batch_shardings)
    with jax.set_mesh(mesh):
        text = trainer.step.lower(state, batch).compile().as_text()
    found = [one for one in read_collectives(text, mesh) if {"slice", "data"} & set(one.axes)]
    gradients = count(trainer.abstract_state.params) * 4 / 2
    assert sum(one.total_wire for one in found) >= 2 * 3 / 4 * gradients  # an all-reduce over 4 replicas
    return sum(one.total_wire for one in found)


def test_gradients_cross_the_slow_network_once_a_step() -> None:
    assert sent_between_replicas(4) == pytest.approx(sent_between_replicas(2), rel=0.02)


@pytest.mark.parametrize(
    ("tokenizer", "mesh"),
    [
        (dvae, MeshConfig(1, 1, 8, 1, 1)),
        (dvae, MeshConfig(1, 1, 4, 1, 2)),
        (vqgan, MeshConfig(1, 1, 4, 1, 2)),
    ],
)
def test_eight_devices_teach_a_tokenizer_what_one_does(
    tokenizer: Callable[[], Task], mesh: MeshConfig
) -> None:
    """The first step alone: the losses' absolute values turn a rounding error near zero into another sign."""
    (loss, grad_norm, *_), _ = train(tokenizer(), MeshConfig(1, 1, 1, 1, 1), 1)
    (spread_loss, spread_norm, *_), _ = train(tokenizer(), mesh, 8)
    assert spread_loss == pytest.approx(loss, rel=1e-4, abs=1e-6)
    assert spread_norm == pytest.approx(grad_norm, rel=2e-3)
