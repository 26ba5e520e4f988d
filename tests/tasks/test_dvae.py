"""The dVAE's loss against densities integrated numerically and sums done by hand; a few steps that learn."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from toto_jax.errors import ConfigError
from toto_jax.tasks.dvae import DVAETask, DVAETaskConfig, half_cosine, logit_laplace_log_likelihood
from toto_jax.tasks.tokenizer import frames_of
from toto_jax.tokenizers.dvae import DVAE
from toto_jax.tokenizers.dvae_network import DVAEConfig
from toto_jax.tokenizers.frame_tokenizer import FrameTokenizer

NETWORK = DVAEConfig(codebook_size=32, width=16, decoder_stem=16, halvings=1, blocks=1)
SETTINGS = {
    "kl_weight": 0.5, "kl_steps": 10, "temperature_start": 1.0, "temperature_end": 0.25, "temperature_steps": 20,
    "crop": 0, "crop_from": (0, 0), "flip": False, "min_scale": 0.0,
}  # fmt: skip


def task(**changes: Any) -> DVAETask:
    return DVAETask(DVAE(NETWORK), DVAETaskConfig(**(SETTINGS | changes)), frames=2, size=8)


@functools.cache
def parameters() -> Any:
    return jax.jit(task().init)(jax.random.key(0))


def evaluate(learned: DVAETask, params: Any, data: dict[str, jax.Array], seed: int = 0, step: int = 0) -> Any:
    """Returns (loss, metrics)."""
    return jax.jit(learned.loss)(params, data, jax.random.key(seed), jnp.int32(step))


def batch(clips: int = 4) -> dict[str, jax.Array]:
    """Still clips whose quadrants have one of eight colours each."""
    colours = np.random.default_rng(0).choice([40, 220], (clips, 1, 2, 2, 3)).astype(np.uint8)
    return {"pixels": jnp.asarray(colours.repeat(2, axis=1).repeat(4, axis=2).repeat(4, axis=3))}


@pytest.mark.parametrize(("median", "scale"), [(0.0, 1.0), (1.5, 0.2), (-2.0, 0.7)])
def test_the_likelihood_is_a_density_over_the_open_interval(median: float, scale: float) -> None:
    """In u = logit(x), where dx = x (1 - x) du, the integrand is smooth but for the kink at the median."""
    u = median + np.concatenate([np.linspace(-30, 0, 60_001) * scale, np.linspace(0, 30, 60_001)[1:] * scale])
    x = 1 / (1 + np.exp(-u))
    inside = (x > 1e-6) & (x < 1 - 1e-6)  # float32 knows no logits beyond
    density = np.zeros_like(x)
    values = logit_laplace_log_likelihood(
        jnp.asarray(x[inside], jnp.float32), jnp.float32(median), jnp.log(scale)
    )
    density[inside] = np.exp(np.asarray(values, np.float64))
    assert np.trapezoid(density * x * (1 - x), u) == pytest.approx(1, abs=2e-3)


def test_the_likelihood_at_a_point_worked_out() -> None:
    """x = 0.8, mu = 0, b = 0.5: 1 / (2b x (1-x)) = 6.25 times exp(-ln 4 / 0.5) = 1/16."""
    value = logit_laplace_log_likelihood(jnp.float32(0.8), jnp.float32(0), jnp.log(0.5))
    assert float(value) == pytest.approx(np.log(6.25 / 16), abs=1e-5)


def test_half_a_cosine() -> None:
    steps = jnp.array([0, 25, 50, 75, 100, 1000])
    quarter = np.cos(np.pi / 4)
    wanted = [3, 2 + quarter, 2, 2 - quarter, 1, 1]
    np.testing.assert_allclose(half_cosine(3.0, 1.0, 100, steps), wanted, atol=1e-6)
    assert float(half_cosine(3.0, 1.0, 0, jnp.int32(0))) == 1


def test_schedules_follow_the_step() -> None:
    temperature, weight = task().schedules(jnp.int32(5))
    assert float(weight) == pytest.approx(0.25)  # half way to 0.5
    assert float(temperature) == pytest.approx(0.625 + 0.375 * np.cos(np.pi / 4))


def test_the_loss_is_the_bound_per_pixel_and_colour() -> None:
    """With a temperature near 0, weights are one-hot: the bound of hard codes, summed here clip by clip."""
    learned = task(temperature_start=1e-6, temperature_end=1e-6)
    params, data = parameters(), batch()
    loss, metrics = evaluate(learned, params, data, seed=3, step=10)
    x = 0.1 + 0.8 * np.asarray(data["pixels"], np.float64).reshape(-1, 8, 8, 3) / 255
    logits = np.asarray(learned.network.encode_logits(params, jnp.asarray(x, jnp.float32)), np.float64)
    noise = jax.random.gumbel(jax.random.split(jax.random.key(3))[1], logits.shape)
    maps = np.asarray(learned.network.decode_codes(params, (logits + noise).argmax(-1)), np.float64)
    median, scale = maps[..., :3], np.exp(maps[..., 3:])
    nll = np.log(2 * scale * x * (1 - x)) + np.abs(np.log(x / (1 - x)) - median) / scale
    q = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    kl = (q * np.log(q * 32)).sum(-1)
    assert float(loss) == pytest.approx((nll.sum() + 0.5 * kl.sum()) / x.size, rel=1e-4)
    means = {name: float(total / count) for name, (total, count) in metrics.items()}
    assert means["loss"] == pytest.approx(float(loss), rel=1e-5)
    assert means["reconstruction"] == pytest.approx(nll.mean(), rel=1e-4)
    assert means["kl"] == pytest.approx(kl.mean(), rel=1e-4)
    p = q.mean((0, 1, 2))
    assert means["code_perplexity"] == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-4)
    picture = np.clip((1 / (1 + np.exp(-median)) - 0.1) / 0.8, 0, 1)
    assert means["mse"] == pytest.approx(np.square(picture - (x - 0.1) / 0.8).mean(), rel=1e-3)


def test_the_divergence_has_its_extremes_at_uniform_and_at_certain_codes() -> None:
    """0 for equal logits, ln 32 for one code only, whatever noise and temperature."""
    params = jax.tree.map(jnp.copy, parameters())
    output, learned = params["encoder"]["output"], task()
    for height, wanted in ((0.0, 0.0), (1e3, np.log(32))):
        output["kernel"], output["bias"] = 0 * output["kernel"], jnp.zeros(32).at[5].set(height)
        _, metrics = evaluate(learned, params, batch())
        total, count = metrics["kl"]
        assert count == 4 * 2 * 4 * 4  # clips, frames, rows, columns
        assert float(total / count) == pytest.approx(wanted, abs=1e-5)


def test_metrics_of_parts_add_up_to_those_of_the_whole() -> None:
    """Sums with denominators, as microbatches need; noise-free parts only, since noise follows the batch's shape."""
    whole, first, second = (
        {"pixels": batch()["pixels"][part]} for part in (slice(None), slice(0, 2), slice(2, 4))
    )
    results = [evaluate(task(), parameters(), part)[1] for part in (whole, first, second)]
    totals = [[float(value) for value in metrics["kl"]] for metrics in results]
    np.testing.assert_allclose(np.add(totals[1], totals[2]), totals[0], rtol=1e-5)


def test_noise_and_flips_follow_the_key_and_clips_are_mirrored_whole() -> None:
    params, data = parameters(), batch(32)
    flipping = task(flip=True)
    loss = jax.jit(flipping.loss)
    losses = [float(loss(params, data, jax.random.key(seed), jnp.int32(0))[0]) for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    mapped = np.asarray(frames_of(data["pixels"], jax.random.key(0), flip=True)).reshape(32, 2, 8, 8, 3)
    plain = np.asarray(frames_of(data["pixels"], jax.random.key(0), flip=False)).reshape(32, 2, 8, 8, 3)
    mirrored = [np.array_equal(got, want[:, :, ::-1]) for got, want in zip(mapped, plain, strict=True)]
    same = [np.array_equal(got, want) for got, want in zip(mapped, plain, strict=True)]
    assert all(a or b for a, b in zip(mirrored, same, strict=True))
    assert 6 < sum(mirrored) < 26


def test_relaxed_codes_carry_gradients_to_the_encoder_at_any_temperature() -> None:
    for temperature in (1.0, 0.1):
        learned = task(temperature_start=temperature, kl_weight=0.0)
        gradient = jax.jit(jax.grad(learned.loss, has_aux=True))
        grads, _ = gradient(parameters(), batch(), jax.random.key(0), jnp.int32(0))
        assert np.abs(grads["encoder"]["input"]["kernel"]).max() > 1e-6


def test_the_least_scale_bounds_the_likelihood() -> None:
    """With medians right everywhere and scales near 0, nll is ln(2 b x (1-x)) with b the least scale."""
    params = jax.tree.map(jnp.zeros_like, parameters())
    grey = 128 / 255
    median = np.log((0.1 + 0.8 * grey) / (0.9 - 0.8 * grey))
    params["decoder"]["output"]["bias"] = jnp.array([median] * 3 + [-50.0] * 3)
    data = {"pixels": jnp.full((1, 2, 8, 8, 3), 128, jnp.uint8)}
    loss, _ = evaluate(task(min_scale=0.1, kl_weight=0.0), params, data)
    x = 0.1 + 0.8 * grey
    assert float(loss) == pytest.approx(np.log(2 * 0.1 * x * (1 - x)), abs=1e-3)


def test_a_handful_of_pictures_is_learned() -> None:
    """The likelihood rises, and hard codes, which training never sees, reconstruct better."""
    learned = task(kl_weight=0.0, temperature_end=0.06, temperature_steps=160, min_scale=0.1)
    params, data = parameters(), batch(8)
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-2, 200))

    @jax.jit
    def step(params: Any, state: Any, number: jax.Array) -> tuple[Any, Any, jax.Array]:
        key = jax.random.fold_in(jax.random.key(0), number)
        grads, metrics = jax.grad(learned.loss, has_aux=True)(params, data, key, number)
        updates, state = optimizer.update(grads, state)
        total, count = metrics["reconstruction"]
        return optax.apply_updates(params, updates), state, total / count

    def error(params: Any) -> float:
        tokenizer = FrameTokenizer(DVAE(NETWORK), params)
        video = np.asarray(data["pixels"])
        return float(np.square(video / 255 - tokenizer.decode(tokenizer.encode(video)) / 255).mean())

    state, losses, before = optimizer.init(params), [], error(params)
    for number in range(200):
        params, state, nll = step(params, state, jnp.int32(number))
        losses.append(float(nll))
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 1
    gained = 10 * np.log10(before / error(params))
    assert gained > 4, f"PSNR rose by {gained:.1f} dB"


def test_the_batch_is_of_raw_frames() -> None:
    spec = task().batch_spec(8)["pixels"]
    assert (spec.shape, spec.dtype) == ((8, 2, 8, 8, 3), jnp.uint8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kl_weight": -1.0}, "kl_weight must be 0 or more"),
        ({"kl_steps": -1}, "kl_steps"),
        ({"temperature_end": 0.0}, "temperature_end must be positive"),
        ({"min_scale": -0.1}, "min_scale"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        task(**changes)


def test_squares_of_resized_frames_are_what_is_learned() -> None:
    """Of frames of one colour each square is the same, so the loss is that of small frames; others differ."""
    plain, cutting = task(), task(crop=4, crop_from=(6, 8))
    still = {"pixels": jnp.full((4, 2, 8, 8, 3), 90, jnp.uint8)}
    whole, _ = evaluate(plain, parameters(), {"pixels": still["pixels"][:, :, :4, :4]})
    np.testing.assert_allclose(evaluate(cutting, parameters(), still)[0], whole, rtol=1e-5)
    busy = {"pixels": jnp.asarray(np.random.default_rng(0).integers(0, 256, (4, 2, 8, 8, 3)), jnp.uint8)}
    losses = {float(evaluate(cutting, parameters(), busy, seed=seed)[1]["mse"][0]) for seed in range(3)}
    assert len(losses) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop": 4, "crop_from": (3, 8)}, r"crop_from=\(3, 8\) must be two sides .* of 4 pixels .* \(4, 6\)"),
        ({"crop": 4, "crop_from": (8, 6)}, "the smaller first"),
        ({"crop": 4, "crop_from": (4,)}, "must be two sides"),
        ({"crop": -4}, "crop must be 0 or more"),
        ({"crop": 4, "crop_from": (6, 9)}, r"more than frames of 8 pixels have; set config.clips.size=9, or"),
        ({"crop": 5, "crop_from": (6, 8)}, "crop=5 is not a whole number of codes of 2 pixels; 4 would be"),
    ],
)  # fmt: skip
def test_squares_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        task(**changes)
