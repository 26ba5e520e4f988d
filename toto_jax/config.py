"""The border between configs, which are data, and the package, which holds frozen dataclasses."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, TypeVar

import ml_collections

from toto_jax.errors import ConfigError, nearest

T = TypeVar("T")


def section(cls: type[T], values: Mapping[str, Any], name: str) -> T:
    """Splats one section of a config into its frozen dataclass.

    Args:
      cls: the dataclass; its fields are the section's keys.
      values: the section.
      name: what the section is called in the config, for errors.

    Raises:
      ConfigError: on a key that the dataclass doesn't have, or one that it wants and the section lacks.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in values:
        if key not in fields:
            raise ConfigError(f"config.{name} has no key {key!r}; {nearest(key, fields)}")
    required = [
        key
        for key, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    missing = [key for key in required if key not in values]
    if missing:
        raise ConfigError(f"config.{name} lacks {', '.join(missing)}; configs/default.py lists every key")
    return cls(**{key: _plain(value) for key, value in values.items()})


def _plain(value: Any) -> Any:
    """Turns config containers into dicts and tuples, so that frozen dataclasses hold no ConfigDict."""
    if isinstance(value, (ml_collections.ConfigDict, Mapping)):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(_plain(inner) for inner in value)
    return value


def to_json(config: ml_collections.ConfigDict) -> str:
    """Returns the config as indented JSON with sorted keys: the same config, the same bytes."""
    return json.dumps(_plain(config), indent=2, sort_keys=True) + "\n"


def from_json(text: str) -> ml_collections.ConfigDict:
    """Returns the locked ConfigDict that `to_json` wrote."""
    return ml_collections.ConfigDict(json.loads(text)).lock()


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Returns a line `key: old -> new` for each leaf in which two configs differ."""
    lines = []
    for key in sorted(set(old) | set(new)):
        before, after = _plain(old.get(key)), _plain(new.get(key))
        if isinstance(before, dict) and isinstance(after, dict):
            lines += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            lines.append(f"{prefix}{key}: {before!r} -> {after!r}")
    return lines
