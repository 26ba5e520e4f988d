"""VQGAN's training: who learns from what and when, and that pictures and codes get better."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.tokenizers.tiny_vqgan import tiny_vqgan
from toto_jax.errors import ConfigError
from toto_jax.tasks.vqgan import VQGANTask, VQGANTaskConfig
from toto_jax.tokenizers.frame_tokenizer import FrameTokenizer
from toto_jax.training.optimizer import OptimizerConfig, make_optimizer

SETTINGS = {
    "commitment_weight": 1.0, "codebook_weight": 0.25, "codebook": "learned", "codebook_decay": 0.9,
    "restart_below": 0.0, "entropy_weight": 0.1, "diversity_weight": 0.1, "entropy_temperature": 0.5,
    "adversarial_weight": 0.8, "adversarial_start": 10, "discriminator_start": 5, "discriminator_width": 8,
    "discriminator_layers": 2, "perceptual_weight": 0.0, "perceptual_weights": "", "flip": False,
}  # fmt: skip
FSQ = {"quantizer": "fsq", "levels": (5, 5), "code_width": 2, "codebook_size": 25}
LFQ = {"quantizer": "lfq", "code_width": 5, "codebook_size": 32}


def task(network: dict[str, Any] | None = None, **changes: Any) -> VQGANTask:
    return VQGANTask(
        tiny_vqgan(**(network or {})), VQGANTaskConfig(**(SETTINGS | changes)), frames=2, size=16
    )


@functools.cache
def parameters() -> Any:
    return jax.jit(task().init)(jax.random.key(0))


def batch(clips: int = 2) -> dict[str, jax.Array]:
    """Still clips of four by four patches, each of one of eight colours."""
    colours = np.random.default_rng(0).choice([40, 220], (clips, 1, 4, 4, 3)).astype(np.uint8)
    return {"pixels": jnp.asarray(colours.repeat(2, axis=1).repeat(4, axis=2).repeat(4, axis=3))}


@functools.cache
def gradient_at(step: int) -> tuple[float, Any, dict[str, float]]:
    value = jax.jit(jax.value_and_grad(task().loss, has_aux=True))
    (loss, metrics), grads = value(parameters(), batch(), jax.random.key(0), jnp.int32(step))
    return float(loss), grads, {name: float(total / count) for name, (total, count) in metrics.items()}


def size(tree: Any) -> float:
    return float(optax.tree.norm(tree))


def test_before_either_starts_there_is_nothing_but_reconstruction_and_codes() -> None:
    loss, grads, shown = gradient_at(4)
    assert size(grads["discriminator"]) == 0
    parts = shown["reconstruction"] + shown["commitment"] + 0.25 * shown["codebook"]
    assert loss == pytest.approx(parts, rel=1e-5)
    assert shown["loss"] == pytest.approx(parts, rel=1e-5)


def test_the_discriminator_learns_before_the_tokenizer_listens() -> None:
    _, before, _ = gradient_at(4)
    loss, grads, shown = gradient_at(5)
    assert size(grads["discriminator"]) > 0
    jax.tree.map(np.testing.assert_array_equal, grads["tokenizer"], before["tokenizer"])
    assert loss == pytest.approx(shown["loss"] + shown["discriminator"], rel=1e-5)


def test_then_the_tokenizer_listens_and_the_discriminator_does_not_help_it() -> None:
    _, before, _ = gradient_at(5)
    _, grads, shown = gradient_at(10)
    jax.tree.map(np.testing.assert_array_equal, grads["discriminator"], before["discriminator"])
    moved = jax.tree.map(jnp.subtract, grads["tokenizer"]["decoder"], before["tokenizer"]["decoder"])
    last, pull = before["tokenizer"]["decoder"]["output"]["kernel"], moved["output"]["kernel"]
    assert size(pull) == pytest.approx(0.8 * size(last), rel=2e-2), "0.8 of the reconstruction's pull"
    assert size(moved["input"]) > 0
    assert shown["adaptive_weight"] > 0


def test_without_a_weight_there_is_no_discriminator() -> None:
    plain = task(adversarial_weight=0.0)
    assert set(jax.eval_shape(plain.init, jax.random.key(0))) == {"tokenizer"}
    loss, metrics = plain.loss(
        {"tokenizer": parameters()["tokenizer"]}, batch(), jax.random.key(0), jnp.int32(50)
    )
    assert float(loss) == pytest.approx(gradient_at(4)[0], rel=1e-5)
    assert "discriminator" not in metrics


@pytest.mark.parametrize(
    ("network", "terms"),
    [(FSQ, set()), (LFQ, {"commitment", "entropy", "diversity"}), ({}, {"commitment", "codebook"})],
    ids=["fsq", "lfq", "vq"],
)
def test_each_quantizer_has_its_own_terms(network: dict[str, Any], terms: set[str]) -> None:
    some = task(network, adversarial_weight=0.0)
    params = some.init(jax.random.key(0))
    loss, metrics = some.loss(params, batch(), jax.random.key(0), jnp.int32(0))
    assert set(metrics) - {"loss", "reconstruction", "mse", "code_perplexity"} == terms
    shown = {name: float(total / count) for name, (total, count) in metrics.items()}
    weights = {"commitment": 1.0, "codebook": 0.25, "entropy": 0.1, "diversity": 0.1}
    wanted = shown["reconstruction"] + sum(weights[name] * shown[name] for name in terms)
    assert float(loss) == pytest.approx(wanted, rel=1e-5)


def test_pixels_of_the_batch_are_mirrored_by_clips() -> None:
    """A clip and its mirror image have the same two losses, over many draws."""
    flipping = task(flip=True, adversarial_weight=0.0)
    params = {"tokenizer": parameters()["tokenizer"]}
    loss = jax.jit(lambda data, key: flipping.loss(params, data, key, jnp.int32(0))[0])
    mirrored = {"pixels": batch(1)["pixels"][..., ::-1, :]}
    draws = [
        {round(float(loss(data, jax.random.key(seed))), 5) for seed in range(12)}
        for data in (batch(1), mirrored)
    ]
    assert draws[0] == draws[1]
    assert len(draws[0]) == 2


def learn(some: VQGANTask, steps: int) -> tuple[Any, list[dict[str, float]], Any]:
    """Returns parameters before and after training with the trainer's own optimizer, and the metrics between."""
    settings = OptimizerConfig(
        learning_rate=3e-3, end_learning_rate=0.0, warmup_steps=0, decay_steps=0, b1=0.5, b2=0.9, eps=1e-8,
        weight_decay=0.0, clip_norm=0.0, ema=0.0,
    )  # fmt: skip
    optimizer = make_optimizer(settings, steps, some.logical_axes())
    first = jax.jit(some.init)(jax.random.key(0))

    @jax.jit
    def step(params: Any, state: Any, number: jax.Array) -> Any:
        key = jax.random.fold_in(jax.random.key(1), number)
        grads, metrics = jax.grad(some.loss, has_aux=True)(params, batch(4), key, number)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state, metrics

    params, state, seen = first, optimizer.init(first), []
    for number in range(steps):
        params, state, metrics = step(params, state, jnp.int32(number))
        seen.append({name: float(total / count) for name, (total, count) in metrics.items()})
    return first, seen, params


def error(some: VQGANTask, params: Any) -> float:
    tokenizer = FrameTokenizer(some.network, some.tokenizer_params(params))
    video = np.asarray(batch(4)["pixels"])
    return float(np.square(video / 255 - tokenizer.decode(tokenizer.encode(video)) / 255).mean())


@pytest.mark.parametrize(
    ("network", "changes"),
    [
        ({"normalize": True}, {"codebook": "averaged", "restart_below": 0.05}),
        (FSQ, {"adversarial_weight": 0.0}),
        (LFQ, {"adversarial_weight": 0.0}),
        (LFQ | {"quantizer": "bsq"}, {"adversarial_weight": 0.0}),
    ],
    ids=["averaged codes and a discriminator", "fsq", "lfq", "bsq"],
)
def test_a_handful_of_pictures_is_learned_with_many_codes(
    network: dict[str, Any], changes: dict[str, Any]
) -> None:
    some = task(network, **changes)
    first, seen, last = learn(some, 80)
    gained = 10 * np.log10(error(some, first) / error(some, last))
    assert gained > 4, f"PSNR rose by {gained:.1f} dB"
    assert seen[-1]["code_perplexity"] > 4, "eight colours, and a codebook that collapsed has one"
    assert all(np.isfinite(list(metrics.values())).all() for metrics in seen)


def test_small_pictures_are_none_to_vgg() -> None:
    config = VQGANTaskConfig(
        **(SETTINGS | {"adversarial_weight": 0.0, "perceptual_weight": 1.0, "perceptual_weights": "here"})
    )
    with pytest.raises(ConfigError, match="nothing of 8 pixels; config.clips.size of 16 or more"):
        VQGANTask(tiny_vqgan(), config, frames=1, size=8)


@pytest.mark.parametrize(
    ("network", "changes", "message"),
    [
        ({}, {"codebook": "average"}, "did you mean 'averaged'"),
        ({}, {"restart_below": 0.1}, "restart_below needs config.vqgan.codebook='averaged'"),
        (FSQ, {"codebook": "averaged"}, "needs a codebook, and quantizer='fsq' has none"),
        ({}, {"entropy_temperature": 0}, "entropy_temperature must be positive"),
        ({}, {"adversarial_weight": -1}, "adversarial_weight must be 0 or more"),
        ({}, {"codebook_decay": 1.0}, "must be below 1"),
        ({}, {"perceptual_weight": 1.0}, "needs a folder in perceptual_weights: .* lpips makes one"),
        ({}, {"discriminator_layers": 3}, "frames of 16 pixels after .*=3; at most 2 would do"),
    ],
)
def test_settings_that_can_not_be_say_so(
    network: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        task(network, **changes)
