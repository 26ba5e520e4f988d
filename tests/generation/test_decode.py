"""Decoding with a cache against running the whole sequence again for every token."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toto_jax.generation.decode import generate
from toto_jax.generation.sampling import SamplerConfig
from toto_jax.models.llama import Llama, LlamaConfig

CONFIG = LlamaConfig(
    layers=2, d_model=16, heads=4, kv_heads=2, head_dim=4, d_ff=32, rope_base=100.0,
    rope_grid=(), qk_norm=False, norm_eps=1e-6,
    init_std=0.5, tied_head=False, vocabulary_multiple=8, dtype="float32", attention="chunked",
    remat="none", scan_unroll=2,
)  # fmt: skip
DECODER = Llama(CONFIG, 24)
GREEDY = SamplerConfig(0.0, 0, 1.0)
KEY = jax.random.key(3)


@functools.cache
def params() -> Any:
    return jax.jit(DECODER.init)(jax.random.key(0))


def prompt(length: int) -> jax.Array:
    return jax.random.randint(jax.random.key(1), (3, length), 0, 24)


def without_cache(decoder: Llama, prompt_BT: jax.Array, new_tokens: int, low: int, high: int) -> np.ndarray:
    """Takes the likeliest id within low..high-1, each from a run over all tokens so far and padding."""
    logits_of = jax.jit(lambda ids: decoder.apply(params(), ids).logits_BTV)
    batch, length = prompt_BT.shape
    ids_BT = np.zeros((batch, length + new_tokens), np.int32)
    ids_BT[:, :length] = prompt_BT
    for position in range(length, length + new_tokens):
        ids_BT[:, position] = low + np.argmax(logits_of(ids_BT)[:, position - 1, low:high], axis=-1)
    return ids_BT[:, length:]


@pytest.mark.parametrize(("length", "allowed"), [(7, ((4, 20),)), (1, ())])
def test_equals_decoding_without_a_cache(length: int, allowed: tuple[tuple[int, int], ...]) -> None:
    got = generate(DECODER, params(), prompt(length), 9, GREEDY, KEY, allowed)
    want = without_cache(DECODER, prompt(length), 9, *(allowed or ((0, 24),))[0])
    np.testing.assert_array_equal(got, want)
    assert len(set(want.ravel().tolist())) > 3


def test_only_allowed_ids_are_drawn_and_the_key_decides() -> None:
    sampler = SamplerConfig(5.0, 0, 1.0)
    first, again, other, free = (
        np.asarray(generate(DECODER, params(), prompt(4), 30, sampler, jax.random.key(seed), allowed))
        for seed, allowed in [(0, ((4, 9),)), (0, ((4, 9),)), (1, ((4, 9),)), (0, ())]
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert set(first.ravel()) == {4, 5, 6, 7, 8}
    assert not set(free.ravel()) <= {4, 5, 6, 7, 8}


def test_frequencies_are_the_model_s_probabilities() -> None:
    """The second new token's distribution is that of the model, averaged over the first."""
    rows = 20_000
    start = jnp.full((rows, 1), 5)
    ids = np.asarray(generate(DECODER, params(), start, 2, SamplerConfig(2.0, 0, 1.0), KEY))
    logits_of = jax.jit(lambda ids: DECODER.apply(params(), ids).logits_BTV[:, -1] / 2.0)
    first = jax.nn.softmax(logits_of(start[:1])[0])
    pairs = jnp.stack([jnp.full(24, 5), jnp.arange(24)], axis=1)
    second = np.asarray(first @ jax.nn.softmax(logits_of(pairs)))
    found = np.bincount(ids[:, 1], minlength=24) / rows
    assert (np.abs(found - second) <= 5 * np.sqrt(second * (1 - second) / rows)).all()


def test_bfloat16_weights_are_cast_once_and_give_what_casting_each_time_gives() -> None:
    half = Llama(dataclasses.replace(CONFIG, dtype="bfloat16"), 24)
    program = str(jax.make_jaxpr(lambda p: generate(half, p, prompt(2), 2, GREEDY, KEY))(params()))
    assert "bf16[2,16,32] = convert_element_type" in program  # stacked weights, before the loop over steps
    got = generate(half, params(), prompt(5), 1, GREEDY, KEY)
    np.testing.assert_array_equal(got, without_cache(half, prompt(5), 1, 0, 24))


def test_each_step_writes_one_position_and_copies_no_cache() -> None:
    """The loop's temporary memory stays near one cache: two would mean that steps copy it."""
    decoder = Llama(dataclasses.replace(CONFIG, kv_heads=4, layers=8, scan_unroll=8), 24)
    shapes = jax.eval_shape(decoder.init, jax.random.key(0))
    compiled = generate.lower(decoder, shapes, prompt(2), 4_000, GREEDY, KEY).compile()
    cache = 2 * 8 * 3 * 4 * 4_001 * 4 * 4
    assert cache <= compiled.memory_analysis().temp_size_in_bytes < 1.5 * cache


def test_nothing_to_read_or_to_write() -> None:
    with pytest.raises(ValueError, match="a prompt and new tokens, got 0 and 3"):
        generate(DECODER, params(), jnp.zeros((2, 0), jnp.int32), 3, GREEDY, KEY)
    with pytest.raises(ValueError, match="got 2 and 0"):
        generate(DECODER, params(), prompt(2), 0, GREEDY, KEY)


@pytest.mark.parametrize("sampler", [GREEDY, SamplerConfig(5.0, 3, 0.9)])
def test_ranges_take_turns(sampler: SamplerConfig) -> None:
    """Steps 0, 2, ... draw of 4..8, the others of 9..19, each the likeliest there if the sampler is greedy."""
    ranges = ((4, 9), (9, 20))
    drawn = np.asarray(generate(DECODER, params(), prompt(4), 12, sampler, KEY, ranges))
    assert ((drawn[:, ::2] >= 4) & (drawn[:, ::2] < 9)).all()
    assert ((drawn[:, 1::2] >= 9) & (drawn[:, 1::2] < 20)).all()
    if sampler is GREEDY:
        ids = np.concatenate([prompt(4), drawn], axis=1)
        logits = np.asarray(DECODER.apply(params(), ids).logits_BTV)
        for step in range(12):
            low, high = ranges[step % 2]
            np.testing.assert_array_equal(drawn[:, step], low + logits[:, 3 + step, low:high].argmax(-1))
