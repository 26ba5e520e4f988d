"""The paper's decoder (section 3.2): a LLaMA, causal, pre-RMSNorm, SwiGLU, rotary positions, no biases.

Shapes: B sequences, T positions, V vocabulary, D model width, L layers, S cached positions, K key-value
heads, H size of a head.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from toto_jax.errors import ConfigError, nearest
from toto_jax.models import attention, remat
from toto_jax.models.attention import SelfAttention
from toto_jax.models.layers import RMSNorm, SwiGLU
from toto_jax.models.outputs import KeysValues, Past
from toto_jax.models.rope import rotary_tables
from toto_jax.models.stacked import StackedDecoder
from toto_jax.sharding.rules import constrain

DTYPES = ("float32", "bfloat16")
_POSITIVE = (
    "layers", "d_model", "heads", "kv_heads", "head_dim", "d_ff", "rope_base", "norm_eps", "init_std",
    "vocabulary_multiple", "scan_unroll",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class LlamaConfig:
    """Sizes and choices; configs/default.py says what each key means.

    Raises:
      ConfigError: on a size that isn't positive, heads that don't share key-value heads evenly, an odd head
        (its two halves turn together), or an unknown dtype, attention or remat policy.
    """

    sizes: ClassVar[tuple[str, ...]] = ("layers", "d_model", "heads", "kv_heads", "head_dim", "d_ff")

    layers: int
    d_model: int
    heads: int
    kv_heads: int
    head_dim: int
    d_ff: int
    rope_base: float
    norm_eps: float
    init_std: float
    tied_head: bool
    vocabulary_multiple: int
    dtype: str
    attention: str
    remat: str
    scan_unroll: int

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                raise ConfigError(f"config.model.{name} must be positive, got {getattr(self, name)}")
        if self.heads % self.kv_heads:
            fitting = [size for size in range(1, self.heads + 1) if self.heads % size == 0]
            raise ConfigError(
                f"config.model.heads={self.heads} can't share kv_heads={self.kv_heads} evenly; "
                f"kv_heads may be one of {fitting}"
            )
        if self.head_dim % 2:
            raise ConfigError(
                f"config.model.head_dim={self.head_dim} is odd, and rotary positions turn pairs; "
                f"{self.head_dim + 1} would do"
            )
        if self.dtype not in DTYPES:
            raise ConfigError(f"config.model.dtype={self.dtype!r} is unknown; {nearest(self.dtype, DTYPES)}")
        if self.attention not in attention.NAMES:
            raise ConfigError(
                f"config.model.attention={self.attention!r} is unknown; {nearest(self.attention, attention.NAMES)}"
            )
        remat.check(self.remat)

    def on(self, platform: str) -> "LlamaConfig":
        """Returns the config with the attention that these devices run; see `attention.choose`."""
        kind = attention.choose(self.attention, platform, self.dtype, self.head_dim)
        return dataclasses.replace(self, attention=kind)


class Block(nnx.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, config: LlamaConfig, rngs: nnx.Rngs):
        init = nnx.initializers.normal(config.init_std)
        self.attention_norm = RMSNorm(config.d_model, config.norm_eps, rngs)
        self.attention = SelfAttention(
            config.attention, config.d_model, config.heads, config.kv_heads, config.head_dim, init, rngs
        )
        self.mlp_norm = RMSNorm(config.d_model, config.norm_eps, rngs)
        self.mlp = SwiGLU(config.d_model, config.d_ff, init, rngs)

    def __call__(
        self, x_BTD: jax.Array, rotary: tuple[jax.Array, jax.Array], past: Past | None
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
        if self.config.attention not in attention.KINDS:
            raise ConfigError(
                f"config.model.attention={self.config.attention!r} has to be chosen for a platform first: "
                "give `config.on(platform)`"
            )

    def tables(self, positions_T: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns cosines and sines of the positions; see `rope.rotary_tables`."""
        return rotary_tables(positions_T, self.config.head_dim, self.config.rope_base)

    def keep(self, batch: int, length: int, dtype: str) -> KeysValues:
        """Returns room for keys_BKSH and values_BKSH."""
        shape = (batch, self.config.kv_heads, length, self.config.head_dim)
        return jnp.zeros(shape, dtype), jnp.zeros(shape, dtype)
