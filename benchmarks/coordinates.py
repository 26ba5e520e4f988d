"""Coordinate check: how activations after a few large steps grow with the width (2203.03466, Appendix D.1).

Under muP nothing grows with the width: the slope of log2 of a mean absolute value over log2 of the width is nearly 0.
In the standard parametrisation a rate that suits one width blows up a larger one. Widths are 4 times the base and more:
nearer to it, sums are too short to be normal.

Shapes: B sequences, T and S positions, N heads, H size of a head, D model width.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.widths import Family, random_language, train
from toto_jax.models.llama import Llama
from toto_jax.tree import Params

RATE, STEPS = 0.02, 4
# Slopes of blocks and scores, from one reference run of another implementation: muP's are below, the standard
# parametrisation's above. Scores of heads that grow begin at -0.5 and come up to 0 as training goes on.
MUP_MOST, STANDARD_LEAST = 0.35, 1.0


@functools.partial(jax.jit, static_argnames="decoder")
def sizes(decoder: Llama, params: Params, ids_BT: jax.Array) -> dict[str, jax.Array]:
    """Returns mean absolute values: of the embedding, of each block's output and scores, and of the logits."""
    layers = decoder.config.layers
    out = decoder.apply(params, ids_BT, hidden=tuple(range(layers + 1)))
    found = {"logits": out.logits_BTV, "embedding": out.hidden_LBTD[0]}
    tables = decoder.tables(jnp.arange(ids_BT.shape[1]))
    for layer in range(layers):
        block = decoder.block_of(params, layer)
        x_BTD = block.attention_norm(out.hidden_LBTD[layer])
        q_BTNH, k_BTNH, _ = block.attention.project(x_BTD, tables)
        scores_BNTS = jnp.einsum("BTNH,BSNH->BNTS", q_BTNH, k_BTNH) * decoder.config.head_dim**-0.5
        found[f"scores {layer}"] = scores_BNTS
        found[f"block {layer}"] = out.hidden_LBTD[layer + 1]
    return {name: jnp.abs(values).mean() for name, values in found.items()}


def slopes(family: Family, widths: Sequence[int], seeds: int) -> dict[str, float]:
    """Returns the slope of log2 mean |x| over log2 width after some steps on one batch, by what is measured."""
    logs: dict[str, list[list[float]]] = {}
    for width in widths:
        decoder = family.at(width)
        of_width: dict[str, list[float]] = {}
        for seed in range(seeds):
            ids_SBT = jnp.repeat(random_language(jax.random.key(seed), 1), STEPS, axis=0)
            params, _ = train(decoder, jax.random.key(seed), jnp.full(STEPS, RATE), ids_SBT)
            for name, size in sizes(decoder, params, ids_SBT[0, :, :-1]).items():
                of_width.setdefault(name, []).append(float(size))
        for name, values in of_width.items():
            logs.setdefault(name, []).append(np.log2(np.mean(values)))
    return {name: float(np.polyfit(np.log2(widths), values, 1)[0]) for name, values in logs.items()}
