"""Closed forms against the parameter trees themselves, the paper's Table 1, and sums done by hand."""

import dataclasses
from typing import Any

import jax
import pytest

from toto_jax.models.counts import flops_per_token, matmul_parameter_count, parameter_count
from toto_jax.models.llama import Llama, LlamaConfig
from toto_jax.tree import count

VOCABULARY = 8320
COMMON = {
    "rope_base": 1e4,
    "rope_grid": (), "qk_norm": False, "norm_eps": 1e-6, "init_std": 0.02, "tied_head": False,
    "vocabulary_multiple": 128,
    "dtype": "bfloat16", "attention": "chunked", "remat": "none", "scan_unroll": 1,
}  # fmt: skip
BASE = LlamaConfig(layers=12, d_model=768, heads=12, kv_heads=12, head_dim=64, d_ff=3072, **COMMON)
LARGE = LlamaConfig(layers=16, d_model=1024, heads=16, kv_heads=16, head_dim=64, d_ff=4096, **COMMON)
ONE_B = LlamaConfig(layers=22, d_model=2048, heads=16, kv_heads=16, head_dim=128, d_ff=5632, **COMMON)


@pytest.mark.parametrize("config", [BASE, LARGE, ONE_B], ids=["base", "large", "1b"])
@pytest.mark.parametrize("changes", [{}, {"tied_head": True}, {"kv_heads": 4}, {"head_dim": 32, "d_ff": 640}])
def test_the_closed_form_counts_the_tree(config: LlamaConfig, changes: dict[str, Any]) -> None:
    config = dataclasses.replace(config, **changes)
    shapes = jax.eval_shape(Llama(config, VOCABULARY).init, jax.random.key(0))
    assert parameter_count(config, VOCABULARY) == count(shapes)


@pytest.mark.parametrize(
    ("config", "by_hand", "table_1"),
    [
        # 12 (4*768^2 + 3*768*3072) + 8320*768, and 25*768 gains
        (BASE, (119_635_968, 19_200), 120e6),
        # 16 (4*1024^2 + 3*1024*4096) + 8320*1024, and 33*1024
        (LARGE, (276_955_136, 33_792), 280e6),
        # 22 (4*2048^2 + 3*2048*5632) + 8320*2048, and 45*2048
        (ONE_B, (1_147_404_288, 92_160), 1.1e9),
    ],
    ids=["base", "large", "1b"],
)
def test_the_paper_s_sizes(config: LlamaConfig, by_hand: tuple[int, int], table_1: float) -> None:
    matrices, gains = by_hand
    assert matmul_parameter_count(config, VOCABULARY) == matrices
    tied = dataclasses.replace(config, tied_head=True)
    assert parameter_count(tied, VOCABULARY) == matrices + gains
    assert parameter_count(config, VOCABULARY) == matrices + gains + VOCABULARY * config.d_model
    # The paper doesn't say whether its numbers count one vocabulary matrix or two; the closer of them is
    # meant.
    counts = [parameter_count(c, VOCABULARY) for c in (tied, config)]
    assert min(abs(found / table_1 - 1) for found in counts) < 0.05


def test_flops_by_hand() -> None:
    # 6 * 119,635,968 = 717,815,808; 6 * 12 * 768 * 4096 = 226,492,416.
    assert flops_per_token(BASE, VOCABULARY, 4096) == 717_815_808 + 226_492_416
    assert flops_per_token(BASE, VOCABULARY, 4096, causal=False) == 717_815_808 + 2 * 226_492_416
    # Heads, not the model's width, set the attention's share: 16 heads of 128 are 2048, of 64 half of it.
    narrow = dataclasses.replace(ONE_B, head_dim=64)
    scores = [
        flops_per_token(c, VOCABULARY, 4096) - 6 * matmul_parameter_count(c, VOCABULARY)
        for c in (ONE_B, narrow)
    ]
    assert scores == [6 * 22 * 2048 * 4096, 6 * 22 * 1024 * 4096]


def test_flops_against_the_compiler_s_count() -> None:
    """XLA counts every product of an unrolled forward pass; on one chunk of attention that is all scores."""
    config = dataclasses.replace(
        BASE, layers=2, d_model=256, heads=4, kv_heads=2, d_ff=512, dtype="float32", scan_unroll=2
    )
    decoder, context = Llama(config, 1024), 64
    params = jax.eval_shape(decoder.init, jax.random.key(0))
    ids = jax.ShapeDtypeStruct((1, context), "int32")
    lowered = jax.jit(lambda p, i: decoder.apply(p, i).logits_BTV).lower(params, ids)
    counted = lowered.compile().cost_analysis()["flops"] / context
    assert counted == pytest.approx(flops_per_token(config, 1024, context, causal=False) / 3, rel=0.03)
