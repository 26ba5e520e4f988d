"""Which learning rate is best at which width: under muP the same, in the standard parametrisation a smaller one."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.widths import Family, loss, random_language, train

# Shares of a run.
_WARMUP = 0.1


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Losses of one family.

    Attributes:
      rates: log2 of the learning rates.
      losses: width -> loss on sequences that were never trained on, of each rate; mean over seeds, NaN if one diverged.
    """

    rates: Sequence[int]
    losses: dict[int, list[float]]

    def best(self, width: int) -> int:
        """Returns the index of the best rate."""
        return int(np.nanargmin(self.losses[width]))


def sweep(family: Family, widths: Sequence[int], rates: Sequence[int], steps: int, seeds: int) -> Sweep:
    """Trains each width with each rate, in a warm-up and then half a cosine down to 0, on fresh text in each step."""
    share = (jnp.arange(steps) + 1) / steps
    schedule = jnp.minimum(share / _WARMUP, 0.5 * (1 + jnp.cos(jnp.pi * (share - _WARMUP) / (1 - _WARMUP))))
    losses = {}
    for width in widths:
        decoder = family.at(width)
        found = np.zeros((seeds, len(rates)))
        for seed in range(seeds):
            ids_SBT = random_language(jax.random.key(seed), steps + 16)
            held_out = ids_SBT[steps:].reshape(-1, ids_SBT.shape[2])
            for index, rate in enumerate(rates):
                params, _ = train(decoder, jax.random.key(seed), 2.0**rate * schedule, ids_SBT[:steps])
                found[seed, index] = jax.jit(loss, static_argnums=0)(decoder, params, held_out)
        losses[width] = found.mean(0).tolist()
    return Sweep(rates, losses)
