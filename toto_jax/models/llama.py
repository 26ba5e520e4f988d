"""The paper's decoder (section 3.2): a LLaMA, causal, pre-RMSNorm, SwiGLU, rotary positions, no biases.

Shapes: B sequences, T positions, V vocabulary, D model width, L layers, S cached positions, K key-value
heads, H size of a head.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from toto_jax.errors import ConfigError, nearest
from toto_jax.models import attention, remat
from toto_jax.models.attention import AttendAndKeep, Kept, SelfAttention
from toto_jax.models.cached_attention import attend_to_all
from toto_jax.models.functional import Functional, Stack, parameter
from toto_jax.models.layers import RMSNorm, SwiGLU, linear
from toto_jax.models.outputs import Cache, DecoderOutput
from toto_jax.models.rope import rotary_tables
from toto_jax.sharding.per_device import per_device
from toto_jax.sharding.rules import constrain, parts_of
from toto_jax.tree import Params

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
            config.d_model, config.heads, config.kv_heads, config.head_dim, init, rngs
        )
        self.mlp_norm = RMSNorm(config.d_model, config.norm_eps, rngs)
        self.mlp = SwiGLU(config.d_model, config.d_ff, init, rngs)

    def __call__(
        self, x_BTD: jax.Array, rotary: tuple[jax.Array, jax.Array], attend: AttendAndKeep
    ) -> tuple[jax.Array, Kept]:
        """Returns the block's output and what `attend` keeps."""
        mixed_BTD, kept = self.attention(self.attention_norm(x_BTD), rotary, attend)
        x_BTD = x_BTD + mixed_BTD
        x_BTD = x_BTD + self.mlp(self.mlp_norm(x_BTD))
        return constrain(x_BTD, "batch", "sequence", None), kept


class Ends(nnx.Module):
    """What stands before and after the blocks: the last norm and, unless inputs come embedded, embedding and head."""

    def __init__(self, config: LlamaConfig, vocabulary: int, rngs: nnx.Rngs):
        size, init = config.d_model, nnx.initializers.normal(config.init_std)
        if vocabulary:
            self.embedding = parameter(rngs, (vocabulary, size), ("vocabulary", "embed"), init)
        self.final_norm = RMSNorm(size, config.norm_eps, rngs)
        if vocabulary and not config.tied_head:
            self.head = parameter(rngs, (size, vocabulary), ("embed", "vocabulary"), init)
        self.dtype = jnp.dtype(config.dtype)

    def embed(self, inputs_BT: jax.Array) -> jax.Array:
        """Returns x_BTD in the compute dtype, of ids_BT or of what is embedded already."""
        x_BTD = inputs_BT if inputs_BT.ndim == 3 else self._embed_ids(inputs_BT)
        return constrain(x_BTD.astype(self.dtype), "batch", "sequence", None)

    def _embed_ids(self, ids_BT: jax.Array) -> jax.Array:
        positions = ("batch", "sequence")
        look_up = _look_up
        # Each device looks its own tokens up, in the whole table. A prompt that doesn't divide isn't split.
        if all(size % parts_of(axis) == 0 for size, axis in zip(ids_BT.shape, positions, strict=True)):
            look_up = per_device(_look_up, ((None, None), positions), (*positions, None), split=positions)
        return look_up(self.embedding[...], ids_BT)

    def head_DV(self) -> jax.Array:
        """Returns the head: logits are its product with the normalised x_BTD."""
        return self.head[...] if hasattr(self, "head") else self.embedding[...].T

    def logits(self, x_BTD: jax.Array) -> jax.Array:
        """Returns logits_BTV, float32."""
        return linear(self.final_norm(x_BTD), self.head_DV(), jnp.float32)


def _look_up(table_VD: jax.Array, ids_BT: jax.Array) -> jax.Array:
    return table_VD[ids_BT]


@dataclasses.dataclass(frozen=True)
class Llama:
    """A `Decoder`: structure only, parameters come in as arguments. Equal ones share compiled programs.

    Attributes:
      config: its sizes and choices.
      vocabulary: ids it knows, already a multiple of `config.vocabulary_multiple` (`video.vocabulary_size`), or 0.

    Raises:
      ConfigError: if the vocabulary isn't such a multiple, or the attention isn't chosen yet.
    """

    config: LlamaConfig
    vocabulary: int

    def __post_init__(self) -> None:
        if self.config.attention not in attention.KINDS:
            raise ConfigError(
                f"config.model.attention={self.config.attention!r} has to be chosen for a platform first: "
                "give `config.on(platform)`"
            )
        multiple = self.config.vocabulary_multiple
        if self.vocabulary % multiple:
            raise ConfigError(
                f"A vocabulary of {self.vocabulary} is no multiple of config.model.vocabulary_multiple="
                f"{multiple}; {-(-self.vocabulary // multiple) * multiple} is"
            )

    @functools.cached_property
    def _ends(self) -> Functional[Ends]:
        return Functional(functools.partial(Ends, self.config, self.vocabulary))

    @functools.cached_property
    def _blocks(self) -> Stack[Block]:
        return Stack(functools.partial(Block, self.config), self.config.layers)

    def init(self, key: jax.Array) -> Params:
        """Returns float32 parameters; those of the blocks, under `layers`, are stacked in front."""
        ends_key, blocks_key = jax.random.split(key)
        return {**self._ends.init(ends_key), "layers": self._blocks.init(blocks_key)}

    def logical_axes(self) -> Any:
        """Returns a tree like `init`'s whose leaves are tuples of logical axis names."""
        return {**self._ends.logical_axes(), "layers": self._blocks.logical_axes()}

    def init_cache(self, batch: int, length: int, dtype: str | None = None) -> Cache:
        """Returns an empty cache with room for `length` positions, in the compute dtype unless told."""
        c = self.config
        shape, dtype = (batch, c.kv_heads, length, c.head_dim), dtype or c.dtype
        layers = tuple((jnp.zeros(shape, dtype), jnp.zeros(shape, dtype)) for _ in range(c.layers))
        return Cache(layers, np.int32(0))

    def apply(
        self,
        params: Params,
        inputs_BT: jax.Array,
        *,
        hidden: tuple[int, ...] = (),
        logits: bool = True,
        cache: Cache | None = None,
    ) -> DecoderOutput:
        """Runs the decoder; see `models.decoder.Decoder.apply`."""
        stop = self._blocks_needed(hidden, logits or cache is not None)
        start = 0 if cache is None else cache.length
        rotary = rotary_tables(
            start + jnp.arange(inputs_BT.shape[1]), self.config.head_dim, self.config.rope_base
        )
        ends = self._bind_ends(params)
        x_BTD = ends.embed(inputs_BT)
        if cache is None:
            collect = any(index < stop for index in hidden)
            x_BTD, inputs_LBTD = self._run(params["layers"], x_BTD, rotary, stop, collect)
        else:
            x_BTD, inputs_LBTD, cache = self._run_with_cache(params, x_BTD, rotary, cache)
        states = [x_BTD if index == stop else inputs_LBTD[index] for index in hidden]
        return DecoderOutput(
            logits_BTV=ends.logits(x_BTD) if logits else None,
            hidden_LBTD=jnp.stack(states) if states else None,
            cache=cache,
        )

    def _run(
        self, layers: Params, x_BTD: jax.Array, rotary: Any, stop: int, collect: bool
    ) -> tuple[jax.Array, jax.Array | None]:
        """Returns the output of block `stop`, and with `collect` the input of each."""

        def attend(q_BTNH: jax.Array, k_BTKH: jax.Array, v_BTKH: jax.Array) -> tuple[jax.Array, None]:
            return attention.KINDS[self.config.attention](q_BTNH, k_BTKH, v_BTKH), None

        def block(x_BTD: jax.Array, values: Params) -> tuple[jax.Array, jax.Array | None]:
            out_BTD, _ = self._blocks.layer.bind(values)(x_BTD, rotary, attend)
            return out_BTD, x_BTD if collect else None

        if stop < self.config.layers:
            layers = jax.tree.map(lambda leaf: leaf[:stop], layers)
        unroll = min(self.config.scan_unroll, max(stop, 1))
        body = remat.rematerialise(block, self.config.remat, self.config.scan_unroll)
        return jax.lax.scan(body, x_BTD, layers, length=stop, unroll=unroll)

    def _run_with_cache(
        self, params: Params, x_BTD: jax.Array, rotary: Any, cache: Cache
    ) -> tuple[jax.Array, list[jax.Array], Cache]:
        """Returns the last block's output, the input of each block, and the cache with the new positions."""
        new = x_BTD.shape[1]
        if new > cache.room:
            raise ValueError(f"{new} new positions don't fit into a cache with room for {cache.room}")
        inputs, layers = [], []
        for values, kept in zip(self.layers_apart(params)["layers"], cache.layers, strict=True):
            attend = functools.partial(attend_to_all, kept=kept, length=cache.length, empty=cache.known_empty)
            inputs.append(x_BTD)
            x_BTD, kept = self._blocks.layer.bind(values)(x_BTD, rotary, attend)
            layers.append(kept)
        return x_BTD, inputs, Cache(tuple(layers), cache.length + new)

    def layers_apart(self, params: Params) -> Params:
        """Returns the parameters with a tuple of layers; see `models.decoder.Decoder.layers_apart`."""
        if isinstance(params["layers"], tuple):
            return params
        count = range(self.config.layers)
        return {
            **params, "layers": tuple(jax.tree.map(lambda leaf, i=i: leaf[i], params["layers"]) for i in count)
        }  # fmt: skip

    def final_states(self, params: Params, inputs_BT: jax.Array) -> jax.Array:
        """Returns the normalised output; see `models.decoder.Decoder.final_states`."""
        last_LBTD = self.apply(params, inputs_BT, hidden=(self.config.layers,), logits=False).hidden_LBTD
        return self._bind_ends(params).final_norm(last_LBTD[0])

    def logit_factors(self, params: Params, inputs_BT: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the two factors of the logits; see `models.decoder.Decoder.logit_factors`."""
        return self.final_states(params, inputs_BT), self._bind_ends(params).head_DV()

    def _bind_ends(self, params: Params) -> Ends:
        return self._ends.bind({name: values for name, values in params.items() if name != "layers"})

    def _blocks_needed(self, hidden: tuple[int, ...], all_of_them: bool) -> int:
        layers = self.config.layers
        wrong = [index for index in hidden if not 0 <= index <= layers]
        if wrong:
            raise ConfigError(
                f"Hidden states of a decoder of {layers} layers are 0 (the embedding's output) to {layers} "
                f"(the last block's), got {wrong}"
            )
        return layers if all_of_them else max(hidden, default=0)
