"""Causal self-attention with grouped key-value heads, and the kinds of computing it.

Shapes: B sequences, T positions, N query heads, K key-value heads, G = N / K queries to one key-value head,
H size of a head, D model width.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx

from toto_jax.errors import ConfigError, nearest
from toto_jax.models.cached_attention import attend_to_all
from toto_jax.models.chunked_attention import causal_attention
from toto_jax.models.functional import Initializer, parameter
from toto_jax.models.fused_attention import Attention, cudnn_attention, splash_attention
from toto_jax.models.layers import linear
from toto_jax.models.outputs import KeysValues, Past
from toto_jax.models.rope import rotate
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


class SelfAttention(nnx.Module):
    """Projections around attention, without biases.

    Args:
      kind: of `KINDS`, where there is no cache.
    """

    def __init__(
        self,
        kind: str,
        d_model: int,
        heads: int,
        kv_heads: int,
        head_dim: int,
        init: Initializer,
        rngs: nnx.Rngs,
    ):
        self.kind = kind
        self.query = parameter(rngs, (d_model, heads, head_dim), ("embed", "heads", "head_dim"), init)
        self.key = parameter(rngs, (d_model, kv_heads, head_dim), ("embed", "kv_heads", "head_dim"), init)
        self.value = parameter(rngs, (d_model, kv_heads, head_dim), ("embed", "kv_heads", "head_dim"), init)
        self.output = parameter(rngs, (heads, head_dim, d_model), ("heads", "head_dim", "embed"), init)

    def __call__(
        self, x_BTD: jax.Array, rotary: tuple[jax.Array, jax.Array], past: Past | None
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
        return linear(flat, self.output[...].reshape(flat.shape[-1], -1)), kept

    def project(
        self, x_BTD: jax.Array, rotary: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Returns rotated q_BTNH and k_BTKH, and v_BTKH."""
        q_BTNH = rotate(_to_heads(x_BTD, self.query[...]), *rotary)
        k_BTKH = rotate(_to_heads(x_BTD, self.key[...]), *rotary)
        return q_BTNH, k_BTKH, _to_heads(x_BTD, self.value[...])


def _to_heads(x_BTD: jax.Array, w_DNH: jax.Array) -> jax.Array:
    flat = linear(x_BTD, w_DNH.reshape(w_DNH.shape[0], -1))
    return flat.reshape(*x_BTD.shape[:2], *w_DNH.shape[1:])
