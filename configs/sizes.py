"""The sizes of a family of LLaMAs as overrides of a config."""

from typing import Any

from toto_jax.errors import ConfigError


def llama(width: int, layers: int, heads: int, ratio: int = 4) -> dict[str, Any]:
    """Returns the overrides of a width and depth.

    Args:
      width: of the model.
      layers: how many.
      heads: a number of them that stays the same over the family, so that heads grow with the width.
      ratio: of the feed-forward's width to the model's.

    Raises:
      ConfigError: if the heads don't divide the width into even parts.
    """
    if width % (2 * heads):
        least = 2 * heads
        raise ConfigError(
            f"A width of {width} isn't {heads} heads of an even size; {max(width // least, 1) * least} would be"
        )
    return {
        "model.d_model": width,
        "model.layers": layers,
        "model.heads": heads,
        "model.kv_heads": heads,
        "model.head_dim": width // heads,
        "model.d_ff": ratio * width,
    }


def base(width: int, layers: int, heads: int, ratio: int = 4) -> dict[str, Any]:
    """Returns the overrides that make a model of these sizes, which is the base of muP as well."""
    sizes = llama(width, layers, heads, ratio)
    return {
        **sizes,
        **{key.replace("model.", "mup.base."): size for key, size in sizes.items()},
        "mup.enabled": True,
    }
