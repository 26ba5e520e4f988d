"""GPT-2's decoder (Radford et al., 2019; paper, Table 6): learned positions, LayerNorm, GELU, biases.

Shapes: B sequences, T positions, P positions that have an embedding, D model width.
"""

import dataclasses

import jax
from flax import nnx

from toto_jax.errors import ConfigError
from toto_jax.models.attention import AttentionConfig, SelfAttention
from toto_jax.models.ends import Ends
from toto_jax.models.functional import parameter
from toto_jax.models.layers import GELUFeedForward, LayerNorm
from toto_jax.models.outputs import Cache, KeysValues, Past
from toto_jax.models.stacked import StackedDecoder
from toto_jax.sharding.rules import constrain


@dataclasses.dataclass(frozen=True)
class GPT2Config(AttentionConfig):
    """Sizes and choices; configs/default.py says what each key means."""

    positions: int

    @property
    def block_matrices(self) -> int:
        return self.attention_matrices + 2 * self.d_model * self.d_ff

    @property
    def block_vectors(self) -> int:
        biases = self.head_dim * (self.heads + 2 * self.kv_heads) + self.d_ff + 2 * self.d_model
        return 4 * self.d_model + biases

    @property
    def end_vectors(self) -> int:
        return (2 + self.positions) * self.d_model

    @property
    def block_activations(self) -> int:
        return 14 * self.d_model + 8 * self.heads * self.head_dim + 4 * self.d_ff


class Block(nnx.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)). What adds to x begins smaller, by the root of how many do."""

    def __init__(self, config: GPT2Config, rngs: nnx.Rngs):
        init = nnx.initializers.normal(config.init_std)
        last = nnx.initializers.normal(config.init_std * (2 * config.layers) ** -0.5)
        self.attention_norm = LayerNorm(config.d_model, config.norm_eps, rngs)
        self.attention = SelfAttention(config, init, rngs, output_init=last, bias=True)
        self.mlp_norm = LayerNorm(config.d_model, config.norm_eps, rngs)
        self.mlp = GELUFeedForward(config.d_model, config.d_ff, init, last, rngs)

    def __call__(
        self, x_BTD: jax.Array, tables: None, past: Past | None
    ) -> tuple[jax.Array, KeysValues | None]:
        """Returns the block's output, and keys and values of all positions where a past is given."""
        mixed_BTD, kept = self.attention(self.attention_norm(x_BTD), tables, past)
        x_BTD = x_BTD + mixed_BTD
        x_BTD = x_BTD + self.mlp(self.mlp_norm(x_BTD))
        return constrain(x_BTD, "batch", "sequence", None), kept


class GPT2Ends(Ends):
    """Embeddings of ids and of positions, the last norm, and the head."""

    norm = LayerNorm

    def __init__(self, config: GPT2Config, vocabulary: int, rngs: nnx.Rngs):
        super().__init__(config, vocabulary, rngs)
        init = nnx.initializers.normal(config.init_std)
        self.positions = parameter(rngs, (config.positions, config.d_model), ("positions", "embed"), init)

    def embed(self, inputs_BT: jax.Array, positions_T: jax.Array) -> jax.Array:
        """Returns x_BTD in the compute dtype, of ids_BT or of what is embedded already, with that of positions."""
        x_BTD = super().embed(inputs_BT, positions_T)
        # Rows in order: a slice, which devices along the sequence can share, where a look-up couldn't be.
        rows_TD = jax.lax.dynamic_slice_in_dim(self.positions[...], positions_T[0], x_BTD.shape[1])
        return constrain(x_BTD + rows_TD.astype(x_BTD.dtype), "batch", "sequence", None)


@dataclasses.dataclass(frozen=True)
class GPT2(StackedDecoder):
    """GPT-2 as a `StackedDecoder`.

    Raises:
      ConfigError: as of its base, or if the attention isn't chosen yet.
    """

    ends = GPT2Ends
    block = Block

    config: GPT2Config

    def __post_init__(self) -> None:
        super().__post_init__()
        self.config.check_chosen()

    def tables(self, positions_T: jax.Array) -> None:
        """Returns nothing: positions are in the embedding."""
        if positions_T.shape[0] > self.config.positions:
            raise self._too_long(positions_T.shape[0])

    def init_cache(self, batch: int, length: int, dtype: str | None = None) -> Cache:
        """Returns an empty cache; see `models.decoder.Decoder.init_cache`.

        Raises:
          ConfigError: if `length` is more than the positions that have an embedding.
        """
        if length > self.config.positions:
            raise self._too_long(length)
        return super().init_cache(batch, length, dtype)

    def _too_long(self, length: int) -> ConfigError:
        return ConfigError(
            f"{length} positions, and config.model.positions={self.config.positions} have an embedding: a GPT-2 can't "
            "go on past what it was trained on; take fewer frames"
        )

    def keep(self, batch: int, length: int, dtype: str) -> KeysValues:
        """Returns room for keys_BKSH and values_BKSH."""
        return self.config.keys_values(batch, length, dtype)
