"""muP's factors by hand, what they do to a decoder, and what can't be."""

import dataclasses
import functools
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.default import get_config
from tests.models.test_llama import CONFIG, IDS, VOCABULARY, close
from toto_jax.errors import ConfigError
from toto_jax.models.decoder import build_decoder
from toto_jax.models.llama import Llama, LlamaConfig
from toto_jax.models.parametrisation import Mup, MupConfig, Scale, kind_of, make_mup, table
from toto_jax.tree import named_leaves

BASE = dataclasses.replace(
    CONFIG, layers=2, d_model=64, heads=4, kv_heads=2, head_dim=16, d_ff=128, init_std=0.02
)
# 8 times as wide, by larger heads; the feed-forward 4 times.
WIDE = dataclasses.replace(BASE, d_model=512, head_dim=128, d_ff=512)


def factors(model: LlamaConfig, base: LlamaConfig = BASE, **changes: Any) -> dict[str, Scale]:
    return named_leaves(Llama(model, VOCABULARY, Mup(base, **changes)).scales)


def test_the_table_of_a_width_by_hand() -> None:
    """2203.03466, Table 8, with the readout's factor in its forward pass: notes' figures at 512 over 64."""
    got = factors(WIDE, zero_query=False, zero_head=False, scale_epsilon=False, input_multiplier=10.0)
    layers = "layers/"
    assert got["embedding"] == Scale("input", forward=10.0)
    assert got["head"] == Scale("output", forward=1 / 8)
    hidden = Scale("hidden", init=8**-0.5, learning_rate=1 / 8, weight_decay=8.0)
    for name in ("attention/key", "attention/value", "mlp/gate", "mlp/up"):
        assert got[layers + name] == hidden
    # The scores' factor is 1 / sqrt(128) of the kernel times that: 1/d_head, equal to 1/sqrt(d_head) at the base.
    assert got[layers + "attention/query"] == dataclasses.replace(hidden, kind="query", forward=8**-0.5)
    assert WIDE.head_dim**-0.5 * got[layers + "attention/query"].forward == pytest.approx(0.03125)
    assert got[layers + "attention/output"] == dataclasses.replace(hidden, kind="residual")
    assert got[layers + "mlp/down"] == Scale("residual", init=0.5, learning_rate=0.25, weight_decay=4.0)
    for name in ("final_norm/gain", "layers/attention_norm/gain", "layers/mlp_norm/gain"):
        assert got[name] == Scale("vector")


def test_more_heads_leave_the_scores_alone() -> None:
    got = factors(dataclasses.replace(BASE, d_model=512, heads=32, kv_heads=16, d_ff=1024), zero_query=False)
    assert got["layers/attention/query"].forward == 1.0
    assert got["layers/attention/output"].learning_rate == 1 / 8


def test_depth_by_completep() -> None:
    """2505.01618, Table 1: branches over depth, rates of blocks times depth^(alpha-1), epsilon over both."""
    deep = dataclasses.replace(WIDE, layers=8)
    whole, half = factors(deep), factors(deep, depth_alpha=0.5)
    assert (whole["layers/mlp/down"].forward, half["layers/mlp/down"].forward) == (1 / 4, 1 / 2)
    assert whole["layers/attention/output"].forward == 1 / 4
    assert (whole["layers/mlp/gate"].learning_rate, half["layers/mlp/gate"].learning_rate) == (1 / 8, 1 / 16)
    assert (whole["layers/mlp_norm/gain"].learning_rate, half["layers/mlp_norm/gain"].learning_rate) == (
        1,
        0.5,
    )
    assert whole["final_norm/gain"].learning_rate == half["embedding"].learning_rate == 1
    assert whole["layers/mlp/gate"].epsilon == 1 / 8 / 4
    assert whole["embedding"].epsilon == whole["head"].epsilon == 1 / 8


@pytest.mark.parametrize(
    ("axes", "kind"),
    [
        (("patch", "embed"), "input"),
        ((None, "embed"), "input"),
        (("embed", "patch"), "output"),
        (("layers", "embed", "mlp"), "hidden"),
        (("layers", "mlp", "embed"), "residual"),
        (("layers", "embed", "heads", "head_dim"), "query"),
        (("layers", "norm"), "vector"),
        (("bias",), "vector"),
    ],
)
def test_axes_say_the_kind(axes: tuple[str | None, ...], kind: str) -> None:
    assert kind_of(axes) == kind


def test_the_standard_parametrisation_is_a_table_of_ones_and_leaves_no_trace() -> None:
    plain = Llama(CONFIG, VOCABULARY)
    assert all(dataclasses.astuple(scale)[1:] == (1,) * 5 for scale in named_leaves(plain.scales).values())
    base = Llama(CONFIG, VOCABULARY, Mup(CONFIG, zero_query=False, zero_head=False))
    programs = [str(jax.make_jaxpr(decoder.init)(jax.random.key(0))) for decoder in (plain, base)]
    assert programs[0] == programs[1]
    scaled = Llama(CONFIG, VOCABULARY, Mup(CONFIG, input_multiplier=2.0))
    assert str(jax.make_jaxpr(scaled.init)(jax.random.key(0))) != programs[0]


def test_drawn_values_have_the_stated_deviation() -> None:
    params = jax.jit(Llama(WIDE, VOCABULARY, Mup(BASE)).init)(jax.random.key(0))
    params = named_leaves(params)
    assert not params["layers/attention/query"].any()
    assert not params["head"].any()
    for name, std in (
        ("embedding", 0.02),
        ("layers/attention/key", 0.02 / 8**0.5),
        ("layers/mlp/down", 0.01),
    ):
        assert float(params[name].std()) == pytest.approx(std, rel=0.02)
    assert float(params["layers/mlp_norm/gain"].min()) == 1


@functools.cache
def pair() -> tuple[Llama, Any]:
    config = dataclasses.replace(CONFIG, layers=4, kv_heads=2)
    base = dataclasses.replace(config, layers=2, d_model=8, head_dim=2, d_ff=6)
    mup = Mup(base, input_multiplier=3.0, output_multiplier=5.0, zero_query=False, zero_head=False)
    decoder = Llama(config, VOCABULARY, mup)
    return decoder, jax.jit(decoder.init)(jax.random.key(0))


def test_folded_parameters_are_an_ordinary_llama() -> None:
    """Logits, hidden states, the loss's two factors, and with a cache: all ways through a decoder."""
    decoder, params = pair()
    plain, folded = Llama(decoder.config, VOCABULARY), decoder.folded(params)
    got, want = (
        one.apply(values, IDS, hidden=(0, 2)) for one, values in ((decoder, params), (plain, folded))
    )
    assert np.abs(got.logits_BTV - plain.apply(params, IDS).logits_BTV).max() > 0.1
    close(got.logits_BTV, want.logits_BTV)
    close(got.hidden_LBTD, want.hidden_LBTD)
    x_BTD, w_DV = decoder.logit_factors(params, IDS)
    close(x_BTD @ w_DV, want.logits_BTV)
    apart = decoder.layers_apart(params)
    close(decoder.apply(apart, IDS, cache=decoder.init_cache(2, 11)).logits_BTV, want.logits_BTV)


def test_gradients_are_those_of_factors_in_the_forward_pass() -> None:
    """d loss / d w = factor * d loss / d (factor * w)."""
    decoder, params = pair()
    plain = Llama(decoder.config, VOCABULARY)

    def loss(decoder: Llama, params: Any) -> jax.Array:
        return jnp.square(decoder.apply(params, IDS).logits_BTV).mean()

    got = named_leaves(jax.grad(functools.partial(loss, decoder))(params))
    want = named_leaves(jax.grad(functools.partial(loss, plain))(decoder.folded(params)))
    for name, scale in named_leaves(decoder.scales).items():
        close(got[name], scale.forward * want[name], 2e-5)


def section(**changes: Any) -> MupConfig:
    values = get_config().mup.to_dict()
    base = values.pop("base") | changes.pop("base", {})
    return MupConfig(base=base, **(values | {"enabled": True} | changes))


def test_a_config_becomes_a_base_model() -> None:
    assert make_mup(section(enabled=False, base={"d_model": 10**6}), WIDE) is None
    mup = make_mup(section(base={"d_model": 64, "d_ff": 128}, output_multiplier=4.0), WIDE)
    assert mup.base == dataclasses.replace(WIDE, d_model=64, d_ff=128)
    assert (mup.output_multiplier, mup.zero_head) == (4.0, True)
    decoder = build_decoder(
        "llama", {**get_config().model, "d_model": 1536}, 8320, "cpu", section(base={"d_model": 768})
    )
    assert named_leaves(decoder.scales)["head"].forward == 0.5
    assert hash(decoder) == hash(dataclasses.replace(decoder))


@pytest.mark.parametrize(
    ("base", "model", "message"),
    [
        ({"d_model": 1024}, WIDE, "base.d_model=1024 is larger than config.model.d_model=512.*at least 1024"),
        ({"width": 8}, WIDE, "no use for 'width'"),
        ({"heads": 3}, WIDE, "heads=3 can't share kv_heads=2"),
        ({}, dataclasses.replace(WIDE, tied_head=True), "tied_head=True.*give False"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_base(base: dict[str, int], model: LlamaConfig, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_mup(section(base=base), model)


def test_the_table_for_people() -> None:
    lines = table(Llama(WIDE, VOCABULARY, Mup(BASE)).scales)
    assert lines[0].split() == [
        "parameter",
        "kind",
        "init",
        "learning",
        "rate",
        "weight",
        "decay",
        "forward",
        "epsilon",
    ]
    assert ["head", "output", "0", "1", "1", "0.125", "0.125"] in [line.split() for line in lines]
    assert len({re.match(r"\S+\s+", line).end() for line in lines}) == 1
