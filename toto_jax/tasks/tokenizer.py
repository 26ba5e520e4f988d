"""What tasks that learn a tokenizer have in common.

Shapes: B clips, F frames, N = B*F frames, H x W pixels, C = 3 colours, K codes.
"""

from typing import Protocol

import jax
import jax.numpy as jnp

from toto_jax.tokenizers.base import Network
from toto_jax.tokenizers.convolutions import COLOURS
from toto_jax.training.task import Task
from toto_jax.tree import Params


class TokenizerTask(Task, Protocol):
    """A task whose parameters hold those of a tokenizer.

    Attributes:
      network: the tokenizer's.
    """

    network: Network

    def tokenizer_params(self, params: Params) -> Params:
        """Returns the tokenizer's part of the task's parameters."""


def pixel_batch(batch_size: int, frames: int, size: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns the batch of such a task: uint8 clips of `frames` frames of `size` x `size` pixels."""
    return {"pixels": jax.ShapeDtypeStruct((batch_size, frames, size, size, COLOURS), jnp.uint8)}


def frames_of(pixels_BFHWC: jax.Array, key: jax.Array, flip: bool) -> jax.Array:
    """Returns pixels_NHWC; with `flip`, half of the clips are mirrored, all frames of one together."""
    if flip:
        mirrored_B = jax.random.bernoulli(key, shape=pixels_BFHWC.shape[:1])
        pixels_BFHWC = jnp.where(
            mirrored_B[:, None, None, None, None], pixels_BFHWC[..., ::-1, :], pixels_BFHWC
        )
    return pixels_BFHWC.reshape(-1, *pixels_BFHWC.shape[2:])


def perplexity(p_K: jax.Array) -> jax.Array:
    """Returns the exponential of a distribution's entropy: how many codes it would take, used equally often."""
    return jnp.exp(-jnp.sum(p_K * jnp.log(p_K + 1e-30)))
