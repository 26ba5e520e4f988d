"""What every family of decoders has to do: causality, caches, hidden states, dtypes, sizes, muP."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.default import get_config
from tests.models.test_llama import close
from toto_jax.errors import ConfigError
from toto_jax.models.counts import flops_per_token, matmul_parameter_count, parameter_count
from toto_jax.models.decoder import Decoder, build_decoder
from toto_jax.models.parametrisation import Mup, MupConfig
from toto_jax.sharding.rules import partition_spec
from toto_jax.tree import count, map_with_axes, named_leaves

SIZES = {
    "layers": 3, "d_model": 16, "heads": 4, "kv_heads": 2, "head_dim": 6, "d_ff": 24, "init_std": 0.3,
    "vocabulary_multiple": 8, "dtype": "float32", "positions": 13, "channels": 24, "state": 5, "step_rank": 3,
    "chunk": 4,
}  # fmt: skip
FAMILIES = {
    "llama": {"kind": "llama"},
    "options": {"kind": "llama", "qk_norm": True, "rope_grid": (2, 3)},
    "gpt2": {"kind": "gpt2"},
    "mamba": {"kind": "mamba"},
}
VOCABULARY = 40
IDS = jax.random.permutation(jax.random.key(7), VOCABULARY)[:22].reshape(2, 11)
every_family = pytest.mark.parametrize("family", FAMILIES)


@functools.cache
def params_of(decoder: Decoder) -> Any:
    return jax.jit(decoder.init)(jax.random.key(0))


def build(family: str, **changes: Any) -> tuple[Decoder, Any]:
    section = {**get_config().model, **SIZES, **FAMILIES[family], **changes}
    decoder = build_decoder(section["kind"], section, VOCABULARY, "cpu", MupConfig(**get_config().mup))
    return decoder, params_of(decoder)


@functools.partial(jax.jit, static_argnames=("decoder", "hidden", "logits"))
def run(decoder: Decoder, params: Any, ids_BT: jax.Array, **options: Any) -> Any:
    return decoder.apply(params, ids_BT, **options)


@every_family
def test_logits_see_all_earlier_tokens_and_no_later_one(family: str) -> None:
    """The derivative of logits[t] by the embedding of token s is exactly zero iff s > t."""
    decoder, params = build(family)

    def one_position(embedding: jax.Array) -> jax.Array:
        logits_BTV = decoder.apply({**params, "embedding": embedding}, IDS[:1]).logits_BTV
        return jnp.square(logits_BTV[0]).sum(-1)

    by_row_TVD = jax.jit(jax.jacrev(one_position))(params["embedding"])
    reached_TS = np.abs(by_row_TVD[:, IDS[0]]).sum(-1) > 0
    np.testing.assert_array_equal(reached_TS, np.tril(np.ones((11, 11), bool)))


@every_family
def test_with_a_cache_pieces_give_what_the_whole_gives(family: str) -> None:
    """Prompts of several tokens and steps of one; the caches of a copy go on from where they were copied."""
    decoder, params = build(family)
    whole = run(decoder, params, IDS, hidden=(0, 2, 3))
    cache, logits, hidden = decoder.init_cache(2, 13), [], []
    for start, end in [(0, 5), (5, 6), (6, 7), (7, 10), (10, 11)]:
        out = run(decoder, params, IDS[:, start:end], hidden=(0, 2, 3), cache=cache)
        cache = out.cache
        assert (cache.length, cache.room) == (end, 13)
        logits.append(out.logits_BTV)
        hidden.append(out.hidden_LBTD)
    close(np.concatenate(logits, axis=1), whole.logits_BTV)
    close(np.concatenate(hidden, axis=2), whole.hidden_LBTD)
    with pytest.raises(ValueError, match="11 new positions.*room for 10"):
        decoder.apply(params, IDS, cache=decoder.init_cache(2, 10))


@every_family
def test_a_loss_in_factors_and_remat_change_no_number(family: str) -> None:
    decoder, params = build(family)
    saved, _ = build(family, remat="full", scan_unroll=3)

    def loss(decoder: Decoder, params: Any) -> jax.Array:
        x_BTD, w_DV = decoder.logit_factors(params, IDS)
        return jnp.square(x_BTD @ w_DV).mean()

    got, want = (
        jax.jit(jax.value_and_grad(functools.partial(loss, one)))(params) for one in (saved, decoder)
    )
    assert float(want[0]) == pytest.approx(np.square(run(decoder, params, IDS).logits_BTV).mean(), rel=1e-4)
    assert float(got[0]) == pytest.approx(float(want[0]), rel=1e-5)
    for name, leaf in named_leaves(want[1]).items():
        if not name.endswith(
            "key_bias"
        ):  # which adds the same to all scores of a query: its gradient is rounding
            close(named_leaves(got[1])[name], leaf, 1e-4)
            assert np.abs(leaf).max() > 1e-6, f"{name} takes no part"


@every_family
def test_bfloat16_is_near_float32_and_a_tied_head_is_the_embedding(family: str) -> None:
    decoder, params = build(family)
    close(
        run(build(family, dtype="bfloat16")[0], params, IDS).logits_BTV,
        run(decoder, params, IDS).logits_BTV,
        0.1,
    )
    tied, params = build(family, tied_head=True)
    assert "head" not in params
    close(tied.logit_factors(params, IDS)[1], params["embedding"].T)


@every_family
def test_every_parameter_can_be_laid_over_a_mesh(family: str) -> None:
    decoder, params = build(family)
    specs = map_with_axes(
        lambda axes, leaf: (partition_spec(axes), leaf.ndim), decoder.logical_axes(), params
    )
    for name, (spec, dimensions) in named_leaves(specs, is_leaf=lambda leaf: isinstance(leaf, tuple)).items():
        assert len(spec) == dimensions, name


@every_family
@pytest.mark.parametrize("tied", [False, True])
def test_closed_forms_count_the_tree(family: str, tied: bool) -> None:
    decoder, params = build(family, tied_head=tied)
    assert parameter_count(decoder.config, VOCABULARY) == count(params)


@pytest.mark.parametrize("family", ["gpt2", "mamba"])
def test_flops_against_the_compilers_count(family: str) -> None:
    """XLA counts every operation, norms and activations too: 10 % are left to those at this width."""
    wide = {
        "layers": 2, "d_model": 256, "heads": 4, "kv_heads": 4, "head_dim": 64, "d_ff": 1024, "channels": 512,
        "state": 16, "step_rank": 16, "positions": 64, "chunk": 1, "scan_unroll": 2, "attention": "reference",
    }  # fmt: skip
    decoder, _ = build(family, **wide)
    params = jax.eval_shape(decoder.init, jax.random.key(0))
    context = 64 if family == "gpt2" else 1
    ids = jax.ShapeDtypeStruct((1, context), "int32")
    lowered = jax.jit(lambda p, i: decoder.apply(p, i).logits_BTV).lower(params, ids)
    counted = lowered.compile().cost_analysis()["flops"] / context
    expected = flops_per_token(decoder.config, VOCABULARY, context, causal=False) / 3
    assert expected == pytest.approx(counted, rel=0.1)
    assert expected > 2 * matmul_parameter_count(decoder.config, VOCABULARY)


@pytest.mark.parametrize(("kind", "count_in_table_6"), [("gpt2", 280e6), ("mamba", 290e6), ("llama", 280e6)])
def test_the_configs_have_the_papers_sizes(kind: str, count_in_table_6: float) -> None:
    from configs import architectures

    c = architectures.get_config(kind)
    decoder = build_decoder(kind, c.model, 8320, "tpu", MupConfig(**c.mup))
    assert parameter_count(decoder.config, 8320) == pytest.approx(count_in_table_6, rel=0.03)


MUP_BASE = {"d_model": 8, "head_dim": 2, "d_ff": 12, "channels": 12, "layers": 1}


@pytest.mark.parametrize("family", ["options", "gpt2", "mamba"])
def test_folded_parameters_are_an_ordinary_decoder(family: str) -> None:
    plain, _ = build(family)
    base = {key: size for key, size in MUP_BASE.items() if key in plain.config.sizes}
    zeros = {"zero_query": False, "zero_head": False}
    mup = Mup(dataclasses.replace(plain.config, **base), input_multiplier=2.0, output_multiplier=3.0, **zeros)
    decoder = dataclasses.replace(plain, mup=mup)
    params = params_of(decoder)
    params = jax.tree.map(lambda leaf: leaf + 0.1, params)  # biases too
    got, want = run(decoder, params, IDS), run(plain, decoder.folded(params), IDS)
    close(got.logits_BTV, want.logits_BTV)
    scales = named_leaves(decoder.scales)
    assert scales["head"].forward == 1.5
    if family == "options":
        assert scales["layers/attention/query_norm/gain"].forward == pytest.approx(3**-0.5)
        assert scales["layers/attention/key_norm/gain"].forward == 1
    if family == "gpt2":
        assert scales["positions"].kind == "input"
        assert scales["layers/attention/query_bias"].forward == pytest.approx(3**-0.5)
        assert (
            scales["layers/mlp/down_bias"].forward
            == scales["layers/mlp/down"].forward
            == pytest.approx(1 / 3)
        )
        assert scales["layers/attention/key_bias"].forward == 1
    if family == "mamba":
        names = {
            "input": "hidden",
            "gate": "hidden",
            "output": "residual",
            "select": "narrow",
            "step": "vector",
        }
        names |= {"kernel": "vector", "rates": "vector", "skip": "vector", "step_bias": "vector"}
        assert {name: scales[f"layers/{name}"].kind for name in names} == names
        assert scales["layers/select"].forward == 0.5
        assert scales["layers/select"].learning_rate == 1


def test_a_gpt2_has_positions_for_so_many_and_no_more() -> None:
    decoder, params = build("gpt2", positions=10)
    for make in (lambda: decoder.apply(params, IDS), lambda: decoder.init_cache(2, 11)):
        with pytest.raises(ConfigError, match=r"11 positions, and config\.model\.positions=10"):
            make()


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("mamba", {"chunk": 0}, "chunk must be positive"),
        ("gpt2", {"positions": 0}, "positions must be positive"),
        ("gpt2", {"kv_heads": 3}, "kv_heads may be one of"),
        ("llama", {"rope_grid": (2, 3, 4)}, r"rope_grid=\(2, 3, 4\).*give \(rows, columns\)"),
        ("mamba", {"dtype": "float16"}, "dtype='float16' is unknown"),
        ("llama", {"chanels": 3}, "no key 'chanels'; did you mean 'channels'"),
    ],
)
def test_what_cannot_be(family: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(family, **changes)
