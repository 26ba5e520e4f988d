import dataclasses

import pytest
from ml_collections import ConfigDict

from toto_jax.config import differences, from_json, section, to_json
from toto_jax.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Wheels:
    count: int
    sizes: tuple[int, ...] = ()


def test_a_section_becomes_a_dataclass_with_tuples_for_lists() -> None:
    assert section(Wheels, ConfigDict({"count": 4, "sizes": [1, 2]}), "wheels") == Wheels(4, (1, 2))


def test_a_misspelt_key_names_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match="config.wheels has no key 'cuont'; did you mean 'count'"):
        section(Wheels, {"cuont": 4}, "wheels")


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ConfigError, match="config.wheels lacks count"):
        section(Wheels, {}, "wheels")


def test_json_round_trip_is_stable() -> None:
    config = ConfigDict({"b": {"c": [1, 2], "d": None}, "a": 0.5})
    text = to_json(config)
    assert to_json(from_json(text)) == text
    assert from_json(text).b.c == (1, 2) or list(from_json(text).b.c) == [1, 2]


def test_differences_go_into_sections() -> None:
    old = ConfigDict({"a": 1, "b": {"c": 2, "d": 3}})
    new = ConfigDict({"a": 1, "b": {"c": 5, "e": 3}})
    assert differences(old, new) == ["b.c: 2 -> 5", "b.d: 3 -> None", "b.e: None -> 3"]
