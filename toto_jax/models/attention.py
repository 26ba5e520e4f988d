"""Causal self-attention with grouped key-value heads, and the kinds of computing it.

Shapes: B sequences, T positions, N query heads, K key-value heads, G = N / K queries to one key-value head,
H size of a head, D model width.
"""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Self

import jax
import jax.numpy as jnp
from flax import nnx

from toto_jax.errors import ConfigError, nearest
from toto_jax.models.cached_attention import attend_to_all
from toto_jax.models.chunked_attention import causal_attention
from toto_jax.models.config import DecoderConfig
from toto_jax.models.functional import Initializer, parameter
from toto_jax.models.fused_attention import Attention, cudnn_attention, splash_attention
from toto_jax.models.layers import RMSNorm, linear
from toto_jax.models.outputs import KeysValues, Past
from toto_jax.models.rope import Rotary, rotate
from toto_jax.sharding.rules import constrain


def reference_attention(q_BTNH: jax.Array, k_BTKH: jax.Array, v_BTKH: jax.Array) -> jax.Array:
    """Returns softmax(q k' / sqrt(H), masked) v with all T x T scores at once: the definition, out_BTNH."""
    batch, length, heads, size = q_BTNH.shape
    q_BTKGH = q_BTNH.reshape(batch, length, k_BTKH.shape[2], -1, size)
    scores_BKGTS = jnp.einsum("BTKGH,BSKH->BKGTS", q_BTKGH, k_BTKH, preferred_element_type=jnp.float32)
    scores_BKGTS = jnp.where(jnp.tri(length, dtype=bool), scores_BKGTS * size**-0.5, -jnp.inf)
    weights_BKGTS = jax.nn.softmax(scores_BKGTS, axis=-1).astype(v_BTKH.dtype)
    return jnp.einsum("BKGTS,BSKH->BTKGH", weights_BKGTS, v_BTKH).reshape(q_BTNH.shape)


# Each takes rotated q_BTNH and k_BTKH, and v_BTKH, and gives out_BTNH, the first position seeing only itself.
KINDS: Mapping[str, Attention] = {
    "reference": reference_attention,
    "chunked": causal_attention,
    "cudnn": cudnn_attention,
    "splash": splash_attention,
}
NAMES = ("auto", *KINDS)


def choose(name: str, platform: str, dtype: str, head_dim: int) -> str:
    """Returns the kind of attention to use: `name` itself, or for "auto" the fastest that can run.

    Args:
      name: one of `NAMES`.
      platform: of the devices that the program is compiled for: "cpu", "gpu", "tpu".
      dtype: of the computation.
      head_dim: size of a head.

    Raises:
      ConfigError: if there is no such kind or it can't run there, with those that can.
    """
    if name not in NAMES:
        raise ConfigError(f"config.model.attention={name!r} is unknown; {nearest(name, NAMES)}")
    obstacles = {
        "cudnn": _obstacle_of_cudnn(platform, dtype, head_dim),
        "splash": "" if platform == "tpu" else f"runs on tpu, and these devices are {platform}",
    }
    able = [kind for kind in ("splash", "cudnn", "chunked", "reference") if not obstacles.get(kind)]
    if name == "auto":
        return able[0]
    if name not in able:
        raise ConfigError(
            f"config.model.attention={name!r} {obstacles[name]}; {', '.join(map(repr, able))} would work, "
            f"and 'auto' takes {able[0]!r}"
        )
    return name


def _obstacle_of_cudnn(platform: str, dtype: str, head_dim: int) -> str:
    if platform not in ("gpu", "cuda"):
        return f"runs on gpu, and these devices are {platform}"
    if dtype != "bfloat16":
        return f"computes in bfloat16, and config.model.dtype={dtype!r}"
    if head_dim % 8 or head_dim > 128:
        return f"takes heads of a multiple of 8 up to 128, and config.model.head_dim={head_dim}"
    return ""


@dataclasses.dataclass(frozen=True)
class AttentionConfig(DecoderConfig):
    """Keys of every decoder whose blocks are attention and a feed-forward.

    Raises:
      ConfigError: as of its base, and if heads don't share key-value heads evenly or the attention is unknown.
    """

    sizes: ClassVar[tuple[str, ...]] = (*DecoderConfig.sizes, "heads", "kv_heads", "head_dim", "d_ff")
    shared_out: ClassVar[tuple[str, ...]] = ("heads", "kv_heads")

    heads: int
    kv_heads: int
    head_dim: int
    d_ff: int
    attention: str

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.heads % self.kv_heads:
            fitting = [size for size in range(1, self.heads + 1) if self.heads % size == 0]
            raise ConfigError(
                f"config.model.heads={self.heads} can't share kv_heads={self.kv_heads} evenly; "
                f"kv_heads may be one of {fitting}"
            )
        if self.attention not in NAMES:
            raise ConfigError(
                f"config.model.attention={self.attention!r} is unknown; {nearest(self.attention, NAMES)}"
            )

    def on(self, platform: str) -> Self:
        """Returns the config with the attention that these devices run; see `choose`."""
        kind = choose(self.attention, platform, self.dtype, self.head_dim)
        return dataclasses.replace(self, attention=kind)

    def check_chosen(self) -> None:
        """Raises ConfigError if the attention isn't chosen yet."""
        if self.attention not in KINDS:
            raise ConfigError(
                f"config.model.attention={self.attention!r} has to be chosen for a platform first: "
                "give `config.on(platform)`"
            )

    def keys_values(self, batch: int, length: int, dtype: str) -> KeysValues:
        """Returns room for a layer's keys_BKSH and values_BKSH of `length` positions."""
        shape = (batch, self.kv_heads, length, self.head_dim)
        return jnp.zeros(shape, dtype), jnp.zeros(shape, dtype)

    @property
    def attention_matrices(self) -> int:
        """Parameters of attention's projections."""
        return 2 * self.d_model * self.head_dim * (self.heads + self.kv_heads)

    def mixing_flops(self, context: int, causal: bool) -> int:
        """Returns FLOPs of scores and of mixing values: 4 N H T, or half of it, as a query sees half on average."""
        return (2 if causal else 4) * self.heads * self.head_dim * context

    @property
    def mixing_rows(self) -> int:
        return self.head_dim

    @property
    def exchanged(self) -> int:
        return 2 * self.head_dim * (self.heads + self.kv_heads)


class SelfAttention(nnx.Module):
    """Projections around attention.

    Args:
      config: sizes, and the kind of attention where there is no cache.
      init: of the projections.
      output_init: of the last one.
      bias: whether they have biases.
      normalised: whether queries and keys are normalised (2302.05442, section 2.1), over each head.
    """

    def __init__(
        self,
        config: AttentionConfig,
        init: Initializer,
        rngs: nnx.Rngs,
        *,
        output_init: Initializer | None = None,
        bias: bool = False,
        normalised: bool = False,
    ):
        self.kind = config.attention
        d_model, head_dim = config.d_model, config.head_dim
        heads, kv_heads = config.heads, config.kv_heads
        self.query = parameter(rngs, (d_model, heads, head_dim), ("embed", "heads", "head_dim"), init)
        self.key = parameter(rngs, (d_model, kv_heads, head_dim), ("embed", "kv_heads", "head_dim"), init)
        self.value = parameter(rngs, (d_model, kv_heads, head_dim), ("embed", "kv_heads", "head_dim"), init)
        self.output = parameter(
            rngs, (heads, head_dim, d_model), ("heads", "head_dim", "embed"), output_init or init
        )
        if bias:
            zeros = nnx.initializers.zeros
            self.query_bias = parameter(rngs, (heads, head_dim), ("heads", "bias"), zeros)
            self.key_bias = parameter(rngs, (kv_heads, head_dim), ("kv_heads", "bias"), zeros)
            self.value_bias = parameter(rngs, (kv_heads, head_dim), ("kv_heads", "bias"), zeros)
            self.output_bias = parameter(rngs, (d_model,), ("branch_bias",), zeros)
        if normalised:
            self.query_norm = RMSNorm(head_dim, config.norm_eps, rngs, axis="query_norm")
            self.key_norm = RMSNorm(head_dim, config.norm_eps, rngs)
        self.bias, self.normalised = bias, normalised

    def __call__(
        self, x_BTD: jax.Array, rotary: Rotary | None, past: Past | None
    ) -> tuple[jax.Array, KeysValues | None]:
        """Returns out_BTD, and keys and values of all positions where a past is given."""
        q_BTNH, k_BTKH, v_BTKH = (
            constrain(one, "batch", None, "attention_heads", None) for one in self.project(x_BTD, rotary)
        )
        if past is None:
            mixed_BTNH, kept = KINDS[self.kind](q_BTNH, k_BTKH, v_BTKH), None
        else:
            mixed_BTNH, kept = attend_to_all(q_BTNH, k_BTKH, v_BTKH, *past)
        mixed_BTNH = constrain(mixed_BTNH, "batch", "sequence", "heads", None)
        flat = mixed_BTNH.reshape(*x_BTD.shape[:2], -1)
        out_BTD = linear(flat, self.output[...].reshape(flat.shape[-1], -1))
        return (out_BTD + self.output_bias[...].astype(out_BTD.dtype) if self.bias else out_BTD), kept

    def project(self, x_BTD: jax.Array, rotary: Rotary | None) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Returns q_BTNH and k_BTKH, rotated if tables are given, and v_BTKH."""
        q_BTNH, k_BTKH, v_BTKH = (_to_heads(x_BTD, one[...]) for one in (self.query, self.key, self.value))
        if self.bias:
            q_BTNH, k_BTKH, v_BTKH = (
                x + bias[...].astype(x.dtype)
                for x, bias in ((q_BTNH, self.query_bias), (k_BTKH, self.key_bias), (v_BTKH, self.value_bias))
            )
        if self.normalised:
            q_BTNH, k_BTKH = self.query_norm(q_BTNH), self.key_norm(k_BTKH)
        if rotary is not None:
            q_BTNH, k_BTKH = rotate(q_BTNH, *rotary), rotate(k_BTKH, *rotary)
        return q_BTNH, k_BTKH, v_BTKH


def _to_heads(x_BTD: jax.Array, w_DNH: jax.Array) -> jax.Array:
    flat = linear(x_BTD, w_DNH.reshape(w_DNH.shape[0], -1))
    return flat.reshape(*x_BTD.shape[:2], *w_DNH.shape[1:])
