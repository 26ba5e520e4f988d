"""The seam between a decoder and everybody else.

Shapes: B sequences, T positions, V vocabulary, D model width, L layers.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

import jax

import toto_jax.config
from toto_jax.errors import ConfigError, nearest
from toto_jax.models.config import DecoderConfig
from toto_jax.models.gpt2 import GPT2, GPT2Config
from toto_jax.models.llama import Llama, LlamaConfig
from toto_jax.models.mamba import Mamba, MambaConfig
from toto_jax.models.outputs import Cache, DecoderOutput
from toto_jax.models.parametrisation import Mup, MupConfig, make_mup
from toto_jax.tree import Params


class Decoder(Protocol):
    """A causal transformer as pure functions of parameters. Hashable: equal ones share compiled programs."""

    @property
    def config(self) -> DecoderConfig: ...

    @property
    def vocabulary(self) -> int:
        """Ids it knows: the size of the logits. With 0 it has neither embedding nor head: inputs come embedded."""

    @property
    def mup(self) -> Mup | None:
        """How parameters scale with the sizes; None for the standard parametrisation."""

    @property
    def scales(self) -> Any:
        """A tree like `init`'s of each parameter's factors, `models.parametrisation.Scale`."""

    def init(self, key: jax.Array) -> Params:
        """Returns float32 parameters, a nested dict."""

    def logical_axes(self) -> Any:
        """Returns a tree like `init`'s whose leaves are tuples of logical axis names."""

    def folded(self, params: Params) -> Params:
        """Returns the parameters of the same function in the standard parametrisation: for other software."""

    def init_cache(self, batch: int, length: int, dtype: str | None = None) -> Cache:
        """Returns an empty cache with room for `length` positions, in the compute dtype unless told."""

    def layers_apart(self, params: Params) -> Params:
        """Returns parameters for `apply` with a cache, each layer's in arrays of its own.

        A loop over steps would slice them out of the stack in each step, which is to read and write them all.
        """

    def apply(
        self,
        params: Params,
        inputs_BT: jax.Array,
        *,
        hidden: tuple[int, ...] = (),
        logits: bool = True,
        cache: Cache | None = None,
    ) -> DecoderOutput:
        """Runs the decoder over T new positions.

        Args:
          params: as of `init`.
          inputs_BT: token ids_BT, or embedded positions x_BTD of whatever kind.
          hidden: which hidden states to return: i is the input of block i, so 0 is the embedding's output;
            `layers` is the last block's output, before the final norm.
          logits: whether logits are wanted. Without them (and without a cache) no block is run that no hidden
            state needs.
          cache: positions seen before; the new ones stand behind them, see them, and are added to them. A
            step that overruns the cache's room overwrites its end: leave room for all that will come.

        Raises:
          ConfigError: on a hidden index outside 0..layers.
        """

    def final_states(self, params: Params, inputs_BT: jax.Array) -> jax.Array:
        """Returns the last block's output after the final norm, x_BTD in the compute dtype: what a head stands on.

        Args:
          params: as of `init`.
          inputs_BT: as of `apply`.
        """

    def logit_factors(self, params: Params, inputs_BT: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns x_BTD in the compute dtype and w_DV, float32, whose product `apply` gives as logits.

        A loss over parts of the positions never has to hold them all (`models.cross_entropy.head_nll`).
        """


def build_decoder(
    kind: str, section: Mapping[str, Any], vocabulary: int, platform: str, mup: MupConfig
) -> Decoder:
    """Returns the decoder that a config's `model` section describes.

    Args:
      kind: which family: "llama", "gpt2" or "mamba".
      section: the section, with the keys of all families.
      vocabulary: ids, padded already (`video.vocabulary_size`); 0 for a decoder of embedded inputs alone.
      platform: of the devices that programs are compiled for ("cpu", "gpu", "tpu"), which need not be this machine's.
      mup: the config's section of that name.

    Raises:
      ConfigError: on an unknown kind or key, or values that can't be, on this platform.
    """
    config = decoder_config(kind, section).on(platform)
    return _FAMILIES[kind][1](config, vocabulary, make_mup(mup, config))


def decoder_config(kind: str, section: Mapping[str, Any]) -> DecoderConfig:
    """Returns a family's own config out of a section with the keys of all families.

    Raises:
      ConfigError: on an unknown kind or key, or values that can't be.
    """
    if kind not in _FAMILIES:
        raise ConfigError(f"config.model.kind={kind!r} is unknown; {nearest(kind, _FAMILIES)}")
    config_class = _FAMILIES[kind][0]
    known = {field.name for config, _ in _FAMILIES.values() for field in dataclasses.fields(config)}
    for key in section:
        if key != "kind" and key not in known:
            raise ConfigError(f"config.model has no key {key!r}; {nearest(key, known)}")
    own = {field.name for field in dataclasses.fields(config_class)}
    values = {key: value for key, value in section.items() if key in own}
    return toto_jax.config.section(config_class, values, "model")


_FAMILIES: dict[str, tuple[type[DecoderConfig], type]] = {
    "llama": (LlamaConfig, Llama),
    "gpt2": (GPT2Config, GPT2),
    "mamba": (MambaConfig, Mamba),
}
