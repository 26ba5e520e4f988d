"""Entropy losses of binary quantizers (2310.05737, equation 5; 2406.07548, equations 8 to 12).

Shapes: ... any leading dimensions, M positions in a row, E bits, G bits of a group, K = 2^G.
"""

import jax
import jax.numpy as jnp
import numpy as np

# The mean distribution over all codes needs 2^bits numbers a position, so bits are taken in groups of at most so many.
GROUP_BITS = 9


def log_probabilities(latents_E: jax.Array, scale: float, temperature: float) -> tuple[jax.Array, jax.Array]:
    """Returns the log-probabilities that each bit is set and that it is not.

    A code's probability is the softmax of minus the squared distance to the codes +-scale, over the temperature, and
    that falls apart into its bits.
    """
    logits_E = 4 * scale * latents_E / temperature
    return jax.nn.log_sigmoid(logits_E), jax.nn.log_sigmoid(-logits_E)


def sample_entropy(latents_E: jax.Array, scale: float, temperature: float) -> jax.Array:
    """Returns the mean entropy of a position's code in nats: low when each is certain."""
    return -sum(
        (jnp.exp(log_E) * log_E).sum(-1).mean() for log_E in log_probabilities(latents_E, scale, temperature)
    )


def mean_entropy(latents_E: jax.Array, scale: float, temperature: float) -> jax.Array:
    """Returns the entropy in nats of the positions' mean distribution of codes: high when all are used.

    Groups of at most GROUP_BITS bits are taken to be independent, so with more bits it is an upper bound.
    """
    bits = latents_E.shape[-1]
    is_set_ME, is_not_ME = (
        log_E.reshape(-1, bits) for log_E in log_probabilities(latents_E, scale, temperature)
    )
    groups = np.array_split(np.arange(bits), -(-bits // GROUP_BITS))
    return sum(_group_entropy(is_set_ME[:, group], is_not_ME[:, group]) for group in groups)


def _group_entropy(is_set_MG: jax.Array, is_not_MG: jax.Array) -> jax.Array:
    bits = is_set_MG.shape[-1]
    bits_KG = (np.arange(2**bits)[:, None] >> np.arange(bits)) & 1
    mean_K = jnp.exp(is_set_MG @ bits_KG.T + is_not_MG @ (1 - bits_KG).T).mean(0)
    return -(mean_K * jnp.log(mean_K + 1e-12)).sum()
