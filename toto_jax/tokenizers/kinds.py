"""The families of tokenizers that learn, by name."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from toto_jax.errors import ConfigError, nearest
from toto_jax.tokenizers.base import Network
from toto_jax.tokenizers.dvae import DVAE
from toto_jax.tokenizers.dvae_network import DVAEConfig
from toto_jax.tokenizers.vqgan import VQGAN
from toto_jax.tokenizers.vqgan_network import VQGANConfig

NETWORKS: Mapping[str, tuple[type[Any], type[Any]]] = {
    DVAE.kind: (DVAEConfig, DVAE),
    VQGAN.kind: (VQGANConfig, VQGAN),
}


def build_network(kind: str, settings: Mapping[str, Any]) -> Network:
    """Returns the network of a family.

    Args:
      kind: its name.
      settings: at least the keys of the family's config; others are left alone.

    Raises:
      ConfigError: on an unknown kind, or settings that can't be.
    """
    if kind not in NETWORKS:
        raise ConfigError(f"There is no tokenizer network {kind!r}; {nearest(kind, NETWORKS)}")
    config, network = NETWORKS[kind]
    missing = [field.name for field in dataclasses.fields(config) if field.name not in settings]
    if missing:
        raise ConfigError(f"The settings of a {kind} lack {', '.join(missing)}")
    return network(config(**{field.name: settings[field.name] for field in dataclasses.fields(config)}))
