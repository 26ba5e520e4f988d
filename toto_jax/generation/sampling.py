"""From logits to ids: temperature, top-k and nucleus (top-p) sampling, within a range of ids.

Shapes: B sequences, V vocabulary, C candidates, most likely first.
"""

import dataclasses

import jax
import jax.numpy as jnp

from toto_jax.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class SamplerConfig:
    """How the next id is drawn. The cuts are applied in the order of the fields, each on what the last one
    left.

    Attributes:
      temperature: divides the logits; 0 takes the most likely id.
      top_k: how many of the most likely ids stay; 0 for all.
      top_p: the most likely ids stay whose probabilities add up to at least this; 1 for all (1904.09751,
        section 3.1).

    With neither cut, or with top_k, a step costs little; top_p alone sorts the whole vocabulary.

    Raises:
      ConfigError: on a negative temperature or top_k, or a top_p outside (0, 1].
    """

    temperature: float
    top_k: int
    top_p: float

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise ConfigError(f"temperature must be 0 (the most likely id) or more, got {self.temperature}")
        if self.top_k < 0:
            raise ConfigError(f"top_k must be 0 (all ids) or more, got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p must be above 0 and at most 1 (all ids), got {self.top_p}")


def sample(
    key: jax.Array, logits_BV: jax.Array, config: SamplerConfig, allowed: tuple[int, int] | None = None
) -> jax.Array:
    """Draws an id for each row.

    Args:
      key: a random key; unused at temperature 0.
      logits_BV: unnormalised log-probabilities.
      config: the cuts.
      allowed: ids low..high-1 may be drawn, as if there were no others; None for all.

    Returns:
      ids_B, int32.

    Raises:
      ConfigError: if the range is empty or leaves the vocabulary.
    """
    vocabulary = logits_BV.shape[-1]
    low, high = allowed or (0, vocabulary)
    if not 0 <= low < high <= vocabulary:
        raise ConfigError(f"ids {low}..{high - 1} are not a range within a vocabulary of {vocabulary}")
    logits_BV = logits_BV[:, low:high].astype(jnp.float32)
    if config.temperature == 0:
        return (jnp.argmax(logits_BV, axis=-1) + low).astype(jnp.int32)
    logits_BV = logits_BV / config.temperature
    top_k = min(config.top_k or high - low, high - low)
    if top_k == high - low and config.top_p == 1:
        return (jax.random.categorical(key, logits_BV) + low).astype(jnp.int32)
    logits_BC, candidates_BC = jax.lax.top_k(logits_BV, top_k)
    drawn_B1 = jax.random.categorical(key, _nucleus(logits_BC, config.top_p))[:, None]
    return (jnp.take_along_axis(candidates_BC, drawn_B1, axis=-1)[:, 0] + low).astype(jnp.int32)


def _nucleus(logits_BC: jax.Array, top_p: float) -> jax.Array:
    """Returns descending logits with those outside the nucleus at -inf.

    A candidate stays if those before it fall short of `top_p`; the first always does.
    """
    if top_p == 1:
        return logits_BC
    probabilities_BC = jax.nn.softmax(logits_BC)
    before_BC = jnp.cumsum(probabilities_BC, axis=-1) - probabilities_BC
    return jnp.where(before_BC < top_p, logits_BC, -jnp.inf)
