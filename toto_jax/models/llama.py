"""The paper's decoder (section 3.2): a LLaMA, causal, pre-RMSNorm, SwiGLU, rotary positions, no biases.

Shapes: B sequences, T positions, V vocabulary, D model width, L layers, S cached positions, K key-value
heads, H size of a head.
"""

import dataclasses

import jax
from flax import nnx

from toto_jax.errors import ConfigError
from toto_jax.models.attention import AttentionConfig, SelfAttention
from toto_jax.models.layers import RMSNorm, SwiGLU
from toto_jax.models.outputs import KeysValues, Past
from toto_jax.models.rope import Rotary, on_grid, rotary_tables
from toto_jax.models.stacked import StackedDecoder
from toto_jax.sharding.rules import constrain


@dataclasses.dataclass(frozen=True)
class LlamaConfig(AttentionConfig):
    """Sizes and choices; configs/default.py says what each key means.

    Raises:
      ConfigError: as of its base, on an odd head (its two halves turn together), or a grid that is none.
    """

    rope_base: float
    rope_grid: tuple[int, ...]
    qk_norm: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.head_dim % 2:
            raise ConfigError(
                f"config.model.head_dim={self.head_dim} is odd, and rotary positions turn pairs; "
                f"{self.head_dim + 1} would do"
            )
        if self.rope_grid and (len(self.rope_grid) != 2 or min(self.rope_grid) < 1):
            raise ConfigError(
                f"config.model.rope_grid={self.rope_grid!r}: give (rows, columns) of a frame, or () for flat positions"
            )

    @property
    def block_matrices(self) -> int:
        return self.attention_matrices + 3 * self.d_model * self.d_ff

    @property
    def block_vectors(self) -> int:
        return 2 * (self.d_model + self.qk_norm * self.head_dim)

    @property
    def block_activations(self) -> int:
        return 14 * self.d_model + 12 * self.heads * self.head_dim + 6 * self.d_ff


class Block(nnx.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, config: LlamaConfig, rngs: nnx.Rngs):
        init = nnx.initializers.normal(config.init_std)
        self.attention_norm = RMSNorm(config.d_model, config.norm_eps, rngs)
        self.attention = SelfAttention(config, init, rngs, normalised=config.qk_norm)
        self.mlp_norm = RMSNorm(config.d_model, config.norm_eps, rngs)
        self.mlp = SwiGLU(config.d_model, config.d_ff, init, rngs)

    def __call__(
        self, x_BTD: jax.Array, rotary: Rotary, past: Past | None
    ) -> tuple[jax.Array, KeysValues | None]:
        """Returns the block's output, and keys and values of all positions where a past is given."""
        mixed_BTD, kept = self.attention(self.attention_norm(x_BTD), rotary, past)
        x_BTD = x_BTD + mixed_BTD
        x_BTD = x_BTD + self.mlp(self.mlp_norm(x_BTD))
        return constrain(x_BTD, "batch", "sequence", None), kept


@dataclasses.dataclass(frozen=True)
class Llama(StackedDecoder):
    """The paper's `StackedDecoder`.

    Raises:
      ConfigError: as of its base, or if the attention isn't chosen yet.
    """

    block = Block

    config: LlamaConfig

    def __post_init__(self) -> None:
        super().__post_init__()
        self.config.check_chosen()

    def tables(self, positions_T: jax.Array) -> Rotary:
        """Returns cosines and sines of the positions; see `rope.rotary_tables`."""
        c = self.config
        coordinates_T = on_grid(positions_T, c.rope_grid) if c.rope_grid else (positions_T,)
        return rotary_tables(coordinates_T, c.head_dim, c.rope_base)

    def keep(self, batch: int, length: int, dtype: str) -> KeysValues:
        """Returns room for keys_BKSH and values_BKSH."""
        return self.config.keys_values(batch, length, dtype)
