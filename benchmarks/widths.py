"""One small LLaMA at many widths, by muP or in the standard parametrisation, trained on a random language.

Shapes: B sequences, T positions, V vocabulary, S steps.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from toto_jax.models.llama import Llama, LlamaConfig
from toto_jax.models.parametrisation import Mup
from toto_jax.training.optimizer import OptimizerConfig, make_optimizer
from toto_jax.tree import Params

VOCABULARY, LENGTH, BATCH, LAYERS, HEAD_DIM = 128, 64, 16, 2, 16
# Rates are factors of a rate of 1.
_ADAM = OptimizerConfig(1.0, 1.0, 0, 0, 0.9, 0.95, 1e-8, 0.1, 1.0, 0.0)


@dataclasses.dataclass(frozen=True)
class Family:
    """Attributes:
    mup: whether by muP.
    base: the narrowest width, where both parametrisations are the same but for what begins with zeros.
    heads: whether heads become more, and not larger, with the width.
    zeros: whether queries and the head begin with zeros; of muP.
    """

    mup: bool
    base: int
    heads: bool = False
    zeros: bool = True

    def config(self, width: int) -> LlamaConfig:
        """Returns the sizes of a width, a multiple of the base."""
        heads = width // HEAD_DIM if self.heads else self.base // HEAD_DIM
        return LlamaConfig(
            layers=LAYERS, d_model=width, heads=heads, kv_heads=heads, head_dim=width // heads, d_ff=2 * width,
            rope_base=10_000.0,
            rope_grid=(), qk_norm=False, norm_eps=1e-6, init_std=0.02 * (256 / self.base) ** 0.5, tied_head=False,
            vocabulary_multiple=1, dtype="float32", attention="reference", remat="none", scan_unroll=LAYERS,
        )  # fmt: skip

    def at(self, width: int) -> Llama:
        """Returns the decoder of a width."""
        zeros = {"zero_query": self.zeros, "zero_head": self.zeros}
        mup = Mup(self.config(self.base), **zeros) if self.mup else None
        return Llama(self.config(width), VOCABULARY, mup)


def random_language(key: jax.Array, batches: int) -> jax.Array:
    """Returns ids_SBT: each id is drawn by a random table of the one before and one of that before it."""
    tables_key, start_key, draw_key = jax.random.split(key, 3)
    tables = 2 * jax.random.normal(jax.random.fold_in(tables_key, 0), (2, VOCABULARY, VOCABULARY))
    count = batches * BATCH

    def draw(last_2B: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        new_B = jax.random.categorical(key, tables[0][last_2B[1]] + tables[1][last_2B[0]])
        return jnp.stack((last_2B[1], new_B)), new_B

    start_2B = jax.random.randint(start_key, (2, count), 0, VOCABULARY)
    _, ids_TB = jax.lax.scan(draw, start_2B, jax.random.split(draw_key, LENGTH + 1))
    return ids_TB.T.reshape(batches, BATCH, LENGTH + 1)


def loss(decoder: Llama, params: Params, ids_BT: jax.Array) -> jax.Array:
    """Returns the mean negative log-likelihood in nats."""
    logits_BTV = decoder.apply(params, ids_BT[:, :-1]).logits_BTV
    return optax.softmax_cross_entropy_with_integer_labels(logits_BTV, ids_BT[:, 1:]).mean()


@functools.partial(jax.jit, static_argnames="decoder")
def train(decoder: Llama, key: jax.Array, rates_S: jax.Array, ids_SBT: jax.Array) -> tuple[Params, jax.Array]:
    """Returns parameters after S steps of AdamW, and loss_S before each."""
    optimizer = make_optimizer(_ADAM, len(rates_S), decoder.logical_axes(), decoder.scales)
    params = decoder.init(key)

    def step(state: tuple[Params, Any], given: tuple[jax.Array, jax.Array]) -> Any:
        (params, moments), (rate, ids_BT) = state, given
        value, grads = jax.value_and_grad(functools.partial(loss, decoder))(params, ids_BT)
        updates, moments = optimizer.update(grads, moments, params)
        updates = jax.tree.map(lambda update: rate * update, updates)
        return (optax.apply_updates(params, updates), moments), value

    (params, _), losses_S = jax.lax.scan(step, (params, optimizer.init(params)), (rates_S, ids_SBT))
    return params, losses_S
