"""What the backward pass computes again instead of keeping it: named policies for one block."""

from collections.abc import Callable
from typing import Any

import jax

from toto_jax.errors import ConfigError, nearest

# Name -> what a rematerialised block keeps. None keeps only the block's input. An offloading policy
# (`jax.checkpoint_policies.offload_dot_with_no_batch_dims`, say) is one more line here.
POLICIES: dict[str, Callable[..., Any] | None] = {
    # Products with parameters are kept; norms, activations and attention, cheap to redo, are not.
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    "full": None,
}
NAMES = ("none", *POLICIES)


def check(name: str) -> None:
    """Raises ConfigError if there is no such policy."""
    if name not in NAMES:
        raise ConfigError(f"config.model.remat={name!r} is unknown; {nearest(name, NAMES)}")


def rematerialise(block: Callable[..., Any], name: str, unroll: int) -> Callable[..., Any]:
    """Returns a scan's body with the named policy applied.

    Args:
      block: the body of the scan over layers.
      name: one of `NAMES`; "none" returns `block` itself.
      unroll: of the scan. A loop's body can't be merged with its own backward pass, so the barriers against
        common subexpression elimination are put in only where bodies stand side by side.
    """
    if name == "none":
        return block
    return jax.checkpoint(block, policy=POLICIES[name], prevent_cse=unroll > 1)
