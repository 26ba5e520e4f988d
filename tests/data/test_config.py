from typing import Any

import pytest

from toto_jax.data.config import DataConfig
from toto_jax.errors import ConfigError


def config(**changes: Any) -> DataConfig:
    values = dict(
        media="",
        layout="files",
        annotations=(),
        labels="none",
        shards="",
        paired="",
        mixture={"media": 1},
        window=0,
        wait_seconds=1.0,
        other_shapes=(),
        workers=0,
        prefetch=2,
    )
    return DataConfig(**{**values, **changes})


def test_sources_are_those_that_are_read_at_one_time_or_another() -> None:
    mixture = {"a": 1, "off": 0, "late": ((0, 0), (9, 3)), "never": ((0, 0), (9, 0))}
    assert config(mixture=mixture).sources == ["a", "late"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": "layouts"}, "config.data.labels='layouts' is unknown; did you mean 'layout'"),
        ({"mixture": {"a": -1}}, "config.data.mixture.a=-1 must be a whole number"),
        ({"window": -1}, "window >= 0 and wait_seconds > 0, got -1"),
        ({"wait_seconds": 0}, "window >= 0 and wait_seconds > 0, got 0 and 0"),
        ({"workers": -1}, "workers >= 0 and prefetch >= 1"),
        ({"shards": "gs://b/c"}, "no folder: shards are read from a mounted path.*stage --source=gs://b/c"),
    ],
)
def test_what_cannot_be_is_said(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(**changes)
