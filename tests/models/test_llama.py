"""The decoder: causality, scan, remat, dtypes, cache, tied head, grouped heads, hidden states, errors."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from toto_jax.errors import ConfigError
from toto_jax.models import attention
from toto_jax.models.llama import Llama, LlamaConfig
from toto_jax.sharding.rules import partition_spec
from toto_jax.tree import map_with_axes, named_leaves

CONFIG = LlamaConfig(
    layers=3,
    d_model=16,
    heads=4,
    kv_heads=4,
    head_dim=6,  # not d_model / heads, so that nothing may assume it
    d_ff=24,
    rope_base=100.0,
    rope_grid=(),
    qk_norm=False,
    norm_eps=1e-6,
    init_std=0.3,
    tied_head=False,
    vocabulary_multiple=8,
    dtype="float32",
    attention="chunked",
    remat="none",
    scan_unroll=1,
)
VOCABULARY = 40
IDS = jax.random.permutation(jax.random.key(7), VOCABULARY)[:22].reshape(2, 11)


@functools.cache
def params_of(decoder: Llama) -> Any:
    return jax.jit(decoder.init)(jax.random.key(0))


def build(**changes: Any) -> tuple[Llama, Any]:
    decoder = Llama(dataclasses.replace(CONFIG, **changes), VOCABULARY)
    return decoder, params_of(decoder)


@functools.partial(jax.jit, static_argnames=("decoder", "hidden", "logits"))
def run(decoder: Llama, params: Any, ids_BT: jax.Array, **options: Any) -> Any:
    return decoder.apply(params, ids_BT, **options)


def close(got: jax.Array, want: jax.Array, tolerance: float = 1e-5) -> None:
    """Asserts equality to a fraction of the largest value."""
    want = np.asarray(want, np.float32)
    np.testing.assert_allclose(np.asarray(got, np.float32), want, rtol=0, atol=tolerance * np.abs(want).max())


def test_no_logit_sees_a_later_token_and_every_logit_sees_all_earlier_ones() -> None:
    """The derivative of logits[t] by the embedding of token s is exactly zero iff s > t.

    All ids differ, so a row of the embedding's gradient belongs to one position.
    """
    decoder, params = build()
    ids = IDS[:1]

    def one_position(embedding: jax.Array) -> jax.Array:
        logits_BTV = decoder.apply({**params, "embedding": embedding}, ids).logits_BTV
        return jnp.square(logits_BTV[0]).sum(-1)

    by_row_TVD = jax.jit(jax.jacrev(one_position))(params["embedding"])
    reached_TS = np.abs(by_row_TVD[:, ids[0]]).sum(-1) > 0
    np.testing.assert_array_equal(reached_TS, np.tril(np.ones((11, 11), bool)))


def test_order_matters() -> None:
    """Without positions, swapping two earlier tokens would not change a later logit of one layer."""
    decoder, params = build(layers=1)
    swapped = IDS.at[:, [1, 4]].set(IDS[:, [4, 1]])
    before, after = (run(decoder, params, ids).logits_BTV[:, -1] for ids in (IDS, swapped))
    assert np.abs(before - after).max() > 1e-2


def loss_and_gradient(decoder: Llama) -> tuple[Any, str]:
    def loss(params: Any) -> jax.Array:
        return jnp.square(decoder.apply(params, IDS).logits_BTV).sum()

    params = params_of(dataclasses.replace(decoder, config=CONFIG))
    return jax.jit(jax.value_and_grad(loss))(params), str(jax.make_jaxpr(jax.grad(loss))(params))


@pytest.mark.parametrize("changes", [{"scan_unroll": 2}, {"scan_unroll": 5}, {"attention": "reference"}])
def test_unrolling_and_attention_change_the_program_and_not_the_numbers(changes: dict[str, Any]) -> None:
    (value, gradient), program = loss_and_gradient(build()[0])
    (other_value, other_gradient), other_program = loss_and_gradient(build(**changes)[0])
    assert program != other_program
    np.testing.assert_allclose(other_value, value, rtol=2e-5)
    for name, leaf in named_leaves(gradient).items():
        close(named_leaves(other_gradient)[name], leaf, 2e-5)


@pytest.mark.parametrize("changes", [{}, {"kv_heads": 2, "scan_unroll": 3}, {"dtype": "bfloat16"}])
def test_with_a_cache_pieces_give_what_the_whole_gives(changes: dict[str, Any]) -> None:
    decoder, params = build(**changes)
    whole = run(decoder, params, IDS, hidden=(1, 3))
    cache = decoder.init_cache(2, 13)
    logits, hidden = [], []
    for start, end in [(0, 5), (5, 6), (6, 7), (7, 10), (10, 11)]:
        out = run(decoder, params, IDS[:, start:end], hidden=(1, 3), cache=cache)
        cache = out.cache
        assert cache.length == end
        logits.append(out.logits_BTV)
        hidden.append(out.hidden_LBTD)
    tolerance = 1e-5 if decoder.config.dtype == "float32" else 0.03
    close(np.concatenate(logits, axis=1), whole.logits_BTV, tolerance)
    close(np.concatenate(hidden, axis=2), whole.hidden_LBTD, tolerance)
    assert cache.layers[0][0].dtype == decoder.config.dtype
    assert not any(array[:, :, 11:].any() for array in jax.tree.leaves(cache.layers))


def test_a_cache_known_to_be_empty_spares_the_scores_with_it() -> None:
    """Made inside the program, an empty cache is known to be so, and the same numbers come out."""
    decoder, params = build()

    def fresh(ids: jax.Array) -> Any:
        return decoder.apply(params, ids, cache=decoder.init_cache(2, 50))

    outside = functools.partial(decoder.apply, params)
    given = decoder.init_cache(2, 50)
    assert "f32[2,4,11,50]" not in str(jax.make_jaxpr(fresh)(IDS))
    assert "f32[2,4,11,50]" in str(jax.make_jaxpr(lambda ids, cache: outside(ids, cache=cache))(IDS, given))
    inner, outer = jax.jit(fresh)(IDS), run(decoder, params, IDS, cache=given)
    close(inner.logits_BTV, outer.logits_BTV)
    for (_, ours), (_, theirs) in zip(inner.cache.layers, outer.cache.layers, strict=True):
        close(ours, theirs)
    assert inner.cache.length == outer.cache.length == 11


def test_a_cache_may_have_another_dtype_and_must_have_room() -> None:
    decoder, params = build()
    out = run(decoder, params, IDS, cache=decoder.init_cache(2, 11, "bfloat16"))
    assert out.cache.layers[2][1].dtype == jnp.bfloat16
    with pytest.raises(ValueError, match="11 new positions.*room for 10"):
        decoder.apply(params, IDS, cache=decoder.init_cache(2, 10))


def test_without_logits_a_cache_is_still_filled_by_all_layers() -> None:
    decoder, params = build()
    out = run(decoder, params, IDS, logits=False, hidden=(1,), cache=decoder.init_cache(2, 11))
    assert out.logits_BTV is None
    assert all(array.any() for array in jax.tree.leaves(out.cache.layers))


def test_grouped_heads_are_full_heads_whose_keys_and_values_repeat_blockwise() -> None:
    grouped, params = build(kv_heads=2)
    full = Llama(CONFIG, VOCABULARY)
    attention = params["layers"]["attention"]
    repeated = {name: jnp.repeat(attention[name], 2, axis=2) for name in ("key", "value")}
    layers = {**params["layers"], "attention": {**attention, **repeated}}
    want = run(full, {**params, "layers": layers}, IDS).logits_BTV
    close(run(grouped, params, IDS).logits_BTV, want)


def test_bfloat16_is_near_float32_and_is_not_float32() -> None:
    half, params = build(dtype="bfloat16")
    out, exact = (run(decoder, params, IDS, hidden=(2,)) for decoder in (half, Llama(CONFIG, VOCABULARY)))
    assert out.logits_BTV.dtype == jnp.float32
    assert out.hidden_LBTD.dtype == jnp.bfloat16
    close(out.logits_BTV, exact.logits_BTV, 0.05)
    assert np.abs(out.logits_BTV - exact.logits_BTV).max() > 1e-4
    gradient = jax.jit(jax.grad(lambda p: half.apply(p, IDS).logits_BTV.std()))(params)
    assert all(leaf.dtype == jnp.float32 and leaf.any() for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("tied", [False, True])
def test_logits_are_the_normalised_last_hidden_state_times_the_head(tied: bool) -> None:
    decoder, params = build(tied_head=tied)
    assert ("head" in params) == (not tied)
    out = run(decoder, params, IDS, hidden=(3,))
    x = np.asarray(out.hidden_LBTD[0], np.float64)
    x /= np.sqrt(np.square(x).mean(-1, keepdims=True) + 1e-6)
    close(out.logits_BTV, x @ np.asarray(params["embedding"].T if tied else params["head"], np.float64))


def test_logit_factors_are_what_the_logits_are_made_of() -> None:
    for changes in ({}, {"tied_head": True}, {"dtype": "bfloat16"}):
        decoder, params = build(**changes)
        x_BTD, w_DV = jax.jit(decoder.logit_factors)(params, IDS)
        assert (x_BTD.dtype, w_DV.dtype) == (decoder.config.dtype, jnp.float32)
        want = run(decoder, params, IDS).logits_BTV
        close(
            np.asarray(x_BTD, np.float32) @ np.asarray(w_DV), want, 1e-5 if "dtype" not in changes else 0.01
        )


def test_with_a_cache_attention_is_the_one_that_can_look_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kind of the config serves whole sequences; a kernel for those alone must not be asked to decode."""

    def refuse(*arrays: jax.Array) -> jax.Array:
        raise AssertionError("asked to decode")

    monkeypatch.setitem(attention.KINDS, "splash", refuse)
    decoder, params = build(attention="splash")
    out = decoder.apply(params, IDS, cache=decoder.init_cache(2, 11))
    close(out.logits_BTV, run(Llama(CONFIG, VOCABULARY), params, IDS).logits_BTV)
    with pytest.raises(AssertionError, match="asked to decode"):
        decoder.apply(params, IDS)


def test_auto_has_to_be_chosen_first() -> None:
    with pytest.raises(ConfigError, match="attention='auto' has to be chosen for a platform first"):
        build(attention="auto")
    assert dataclasses.replace(CONFIG, attention="auto").on("cpu") == CONFIG


def test_hidden_states_are_the_blocks_inputs_in_the_order_asked_for() -> None:
    decoder, params = build()
    out = run(decoder, params, IDS, hidden=(3, 0, 2, 1), logits=False)
    assert out.logits_BTV is None
    np.testing.assert_array_equal(out.hidden_LBTD[1], params["embedding"][IDS])
    for row, depth in [(0, 3), (2, 2), (3, 1)]:
        shallow, _ = build(layers=depth)
        layers = jax.tree.map(lambda leaf, depth=depth: leaf[:depth], params["layers"])
        want = run(shallow, {**params, "layers": layers}, IDS, hidden=(depth,), logits=False).hidden_LBTD[0]
        close(out.hidden_LBTD[row], want, 1e-6)
    assert run(decoder, params, IDS).hidden_LBTD is None


def test_blocks_that_no_hidden_state_needs_are_not_run() -> None:
    decoder, params = build()

    def program(**options: Any) -> str:
        return str(jax.make_jaxpr(lambda ids: decoder.apply(params, ids, **options))(IDS))

    assert "length=2" in program(hidden=(2, 0), logits=False)
    assert "length=3" in program(hidden=(2, 0))
    assert run(decoder, params, IDS, hidden=(0,), logits=False).hidden_LBTD.shape == (1, 2, 11, 16)
    # A poisoned third block must not reach the input of the third.
    poisoned = {**params, "layers": jax.tree.map(lambda leaf: leaf.at[2].set(jnp.nan), params["layers"])}
    assert np.isfinite(run(decoder, poisoned, IDS, hidden=(2,), logits=False).hidden_LBTD).all()
    with pytest.raises(ConfigError, match=r"0 .* to 3 .* got \[-1, 4\]"):
        decoder.apply(params, IDS, hidden=(-1, 2, 4))


def test_parameters_are_drawn_from_the_stated_normal_and_axes_fit_them() -> None:
    decoder = Llama(dataclasses.replace(CONFIG, d_model=64, d_ff=96, init_std=0.02), 1000)
    params = params_of(decoder)
    axes = decoder.logical_axes()
    specs = jax.tree.leaves(
        map_with_axes(lambda names, leaf: len(partition_spec(names)) == leaf.ndim, axes, params)
    )
    assert len(specs) == 12
    assert all(specs)
    assert partition_spec(axes["layers"]["attention"]["query"]) == PartitionSpec(None, "fsdp", "tensor", None)
    assert partition_spec(axes["layers"]["mlp"]["down"]) == PartitionSpec(None, "tensor", "fsdp")
    for name, leaf in named_leaves(params).items():
        assert leaf.dtype == jnp.float32
        if "norm" in name:
            assert (leaf == 1).all(), name
        else:
            # The standard deviation of n draws is itself off by 1 / sqrt(2 n) of it; four times that are
            # allowed.
            assert abs(leaf.std() / 0.02 - 1) < 4 / (2 * leaf.size) ** 0.5, name
            assert abs(leaf.mean()) < 4 * 0.02 / leaf.size**0.5, name
    first, second = params["layers"]["mlp"]["up"][:2]
    assert not np.allclose(first, second)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kv_heads": 3}, r"heads=4 can't share kv_heads=3 evenly; kv_heads may be one of \[1, 2, 4\]"),
        ({"head_dim": 5}, "head_dim=5 is odd.*6 would do"),
        ({"dtype": "bfloat61"}, "did you mean 'bfloat16'"),
        ({"remat": "ful"}, "did you mean 'full'"),
        ({"attention": "spalsh"}, "did you mean 'splash'"),
        ({"layers": 0}, "layers must be positive, got 0"),
        ({"scan_unroll": 0}, "scan_unroll must be positive"),
        ({"norm_eps": -1e-6}, "norm_eps must be positive"),
    ],
)
def test_configs_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(CONFIG, **changes)


def test_a_vocabulary_that_is_not_padded() -> None:
    with pytest.raises(ConfigError, match="41 is no multiple.*48 is"):
        Llama(CONFIG, 41)
