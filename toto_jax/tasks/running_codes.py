"""A codebook of running means: each code is the mean of the vectors that lately chose it (1711.00937, appendix A.1).

Shapes: N frames, h x w positions, M = N*h*w of them, E code width, K codes.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from toto_jax.tokenizers.quantizers import Quantized
from toto_jax.training.optimizer import assign
from toto_jax.tree import Params

_LEAST_USAGE = 1e-5


def axes_of_running_codes() -> tuple[dict[str, Any], tuple[str | None, ...]]:
    """Returns the logical axes of the running sums and of the codebook, which mark them as assigned."""
    return {"usage": ("running_codes",), "total": ("running_codes", None)}, ("running_codes", None)


@dataclasses.dataclass(frozen=True)
class RunningCodes:
    """Attributes:
    decay: of the running sums, a step.
    restart_below: usage below which a code starts anew at a random vector; 1 is the mean usage, 0 turns it off.
    """

    decay: float
    restart_below: float

    @staticmethod
    def init(codebook_KE: jax.Array) -> Params:
        """Returns the sums of codes that were all used equally often."""
        return {"usage": jnp.ones(len(codebook_KE)), "total": jnp.copy(codebook_KE)}

    def update(
        self, running: Params, codebook_KE: jax.Array, quantized: Quantized, key: jax.Array
    ) -> jax.Array:
        """Returns a term of the loss, zero by value, that sets sums and codes to their next values."""
        codes_M = quantized.codes_Nhw.reshape(-1)
        latents_ME = jax.lax.stop_gradient(quantized.latents_NhwE.reshape(len(codes_M), -1))
        share = len(codebook_KE) / len(codes_M)
        usage_K = jnp.zeros(len(codebook_KE)).at[codes_M].add(share)
        total_KE = jnp.zeros_like(codebook_KE).at[codes_M].add(share * latents_ME)
        usage_K = self.decay * running["usage"] + (1 - self.decay) * usage_K
        total_KE = self.decay * running["total"] + (1 - self.decay) * total_KE
        means_KE = total_KE / jnp.maximum(usage_K, _LEAST_USAGE)[:, None]
        if self.restart_below:
            random_KE = latents_ME[jax.random.randint(key, (len(codebook_KE),), 0, len(codes_M))]
            dead_K = usage_K < self.restart_below
            usage_K = jnp.where(dead_K, 1.0, usage_K)
            means_KE = jnp.where(dead_K[:, None], random_KE, means_KE)
            total_KE = jnp.where(dead_K[:, None], random_KE, total_KE)
        return (
            assign(running["usage"], usage_K)
            + assign(running["total"], total_KE)
            + assign(codebook_KE, means_KE)
        )
