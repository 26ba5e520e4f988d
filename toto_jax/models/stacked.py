"""Decoders of like blocks that are scanned over: all that a family shares with the others.

Shapes: B sequences, T positions, V vocabulary, D model width, L layers.
"""

import dataclasses
import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from toto_jax.errors import ConfigError
from toto_jax.models import remat
from toto_jax.models.config import DecoderConfig
from toto_jax.models.ends import Ends
from toto_jax.models.functional import Functional, Stack
from toto_jax.models.outputs import Cache, DecoderOutput, Kept, Past
from toto_jax.models.parametrisation import Mup, effective, initial, scales, standard
from toto_jax.tree import Params


@dataclasses.dataclass(frozen=True)
class StackedDecoder:
    """A `Decoder`: structure only, parameters come in as arguments. Equal ones share compiled programs.

    A family gives its modules: `ends(config, vocabulary, rngs)`, and `block(config, rngs)`, which is called as
    `block(x_BTD, tables, past)` and returns x_BTD and what it keeps for positions to come (None without a past).

    Attributes:
      config: its sizes and choices.
      vocabulary: ids it knows, already a multiple of `config.vocabulary_multiple` (`video.vocabulary_size`), or 0.
      mup: how parameters scale with the sizes; None for the standard parametrisation.

    Raises:
      ConfigError: if the vocabulary isn't such a multiple.
    """

    ends: ClassVar[type[nnx.Module]] = Ends
    block: ClassVar[type[nnx.Module]]

    config: DecoderConfig
    vocabulary: int
    mup: Mup | None = None

    def __post_init__(self) -> None:
        multiple = self.config.vocabulary_multiple
        if self.vocabulary % multiple:
            raise ConfigError(
                f"A vocabulary of {self.vocabulary} is no multiple of config.model.vocabulary_multiple="
                f"{multiple}; {-(-self.vocabulary // multiple) * multiple} is"
            )

    def tables(self, positions_T: jax.Array) -> Any:
        """Returns what all blocks are told of the positions."""
        raise NotImplementedError

    def keep(self, batch: int, length: int, dtype: str) -> Kept:
        """Returns what one block keeps before the first position, with room for `length`."""
        raise NotImplementedError

    @functools.cached_property
    def _ends(self) -> Functional[Ends]:
        return Functional(functools.partial(self.ends, self.config, self.vocabulary))

    @functools.cached_property
    def _blocks(self) -> Stack[Any]:
        return Stack(functools.partial(self.block, self.config), self.config.layers)

    def init(self, key: jax.Array) -> Params:
        """Returns float32 parameters; those of the blocks, under `layers`, are stacked in front."""
        ends_key, blocks_key = jax.random.split(key)
        return initial({**self._ends.init(ends_key), "layers": self._blocks.init(blocks_key)}, self.scales)

    def logical_axes(self) -> Any:
        """Returns a tree like `init`'s whose leaves are tuples of logical axis names."""
        return {**self._ends.logical_axes(), "layers": self._blocks.logical_axes()}

    @functools.cached_property
    def scales(self) -> Any:
        """A tree like `init`'s of each parameter's factors."""
        if self.mup is None:
            return standard(self.logical_axes())
        base = dataclasses.replace(self, config=self.mup.base, mup=None)
        shapes, base_shapes = ({**one._ends.shapes(), "layers": one._blocks.shapes()} for one in (self, base))
        return scales(self.logical_axes(), shapes, base_shapes, self.mup)

    def folded(self, params: Params) -> Params:
        """Returns the same function's parameters in the standard parametrisation."""
        return effective(params, self.scales)

    def init_cache(self, batch: int, length: int, dtype: str | None = None) -> Cache:
        """Returns an empty cache with room for `length` positions, in the compute dtype unless told."""
        layers = tuple(
            self.keep(batch, length, dtype or self.config.dtype) for _ in range(self.config.layers)
        )
        return Cache(layers, np.int32(0), length)

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
        positions_T = (0 if cache is None else cache.length) + jnp.arange(inputs_BT.shape[1])
        tables = self.tables(positions_T)
        ends = self._bind_ends(params)
        x_BTD = ends.embed(inputs_BT, positions_T)
        if cache is None:
            collect = any(index < stop for index in hidden)
            x_BTD, inputs_LBTD = self._run(params["layers"], x_BTD, tables, stop, collect)
        else:
            x_BTD, inputs_LBTD, cache = self._run_with_cache(params, x_BTD, tables, cache)
        states = [x_BTD if index == stop else inputs_LBTD[index] for index in hidden]
        return DecoderOutput(
            logits_BTV=ends.logits(x_BTD) if logits else None,
            hidden_LBTD=jnp.stack(states) if states else None,
            cache=cache,
        )

    def _run(
        self, layers: Params, x_BTD: jax.Array, tables: Any, stop: int, collect: bool
    ) -> tuple[jax.Array, jax.Array | None]:
        """Returns the output of block `stop`, and with `collect` the input of each."""

        def block(x_BTD: jax.Array, values: Params) -> tuple[jax.Array, jax.Array | None]:
            out_BTD, _ = self._bind_block(values)(x_BTD, tables, None)
            return out_BTD, x_BTD if collect else None

        if stop < self.config.layers:
            layers = jax.tree.map(lambda leaf: leaf[:stop], layers)
        unroll = min(self.config.scan_unroll, max(stop, 1))
        body = remat.rematerialise(block, self.config.remat, self.config.scan_unroll)
        return jax.lax.scan(body, x_BTD, layers, length=stop, unroll=unroll)

    def _run_with_cache(
        self, params: Params, x_BTD: jax.Array, tables: Any, cache: Cache
    ) -> tuple[jax.Array, list[jax.Array], Cache]:
        """Returns the last block's output, the input of each block, and the cache with the new positions."""
        new = x_BTD.shape[1]
        if new > cache.room:
            raise ValueError(f"{new} new positions don't fit into a cache with room for {cache.room}")
        inputs, layers = [], []
        for values, kept in zip(self.layers_apart(params)["layers"], cache.layers, strict=True):
            inputs.append(x_BTD)
            past = Past(kept, cache.length, cache.known_empty)
            x_BTD, kept = self._bind_block(values)(x_BTD, tables, past)
            layers.append(kept)
        return x_BTD, inputs, Cache(tuple(layers), cache.length + new, cache.room)

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
        names = [name for name in params if name != "layers"]
        values, factors = ({name: tree[name] for name in names} for tree in (params, self.scales))
        return self._ends.bind(effective(values, factors))

    def block_of(self, params: Params, layer: int) -> Any:
        """Returns one block with its values, for a look inside."""
        return self._bind_block(self.layers_apart(params)["layers"][layer])

    def _bind_block(self, values: Params) -> Any:
        return self._blocks.layer.bind(effective(values, self.scales["layers"]))

    def _blocks_needed(self, hidden: tuple[int, ...], all_of_them: bool) -> int:
        layers = self.config.layers
        wrong = [index for index in hidden if not 0 <= index <= layers]
        if wrong:
            raise ConfigError(
                f"Hidden states of a decoder of {layers} layers are 0 (the embedding's output) to {layers} "
                f"(the last block's), got {wrong}"
            )
        return layers if all_of_them else max(hidden, default=0)
