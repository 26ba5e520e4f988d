"""The data section of a config."""

import dataclasses
from collections.abc import Mapping

from toto_jax.errors import ConfigError, nearest

LABELS = ("none", "layout")
LAYOUTS = (
    "files",
    "imagenet",
    "kinetics",
    "ego4d",
    "howto100m",
    "listed",
    "ucf101",
    "webdataset",
    "tfds",
)


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Attributes:
    media: folder or list of videos and images, "synthetic", or "" when shards exist already.
    layout: how they lie, one of `LAYOUTS`.
    annotations: the layout's own list files; see `data.sources`.
    labels: "layout" takes the classes that the layout tells; "none".
    shards: folder of `<source>/<split>` shards; "" means `<workdir>/shards`.
    mixture: source -> whole-number weight.
    workers: processes that read shards; 0 reads in threads.
    prefetch: batches kept ready on the devices.
    """

    media: str
    layout: str
    annotations: tuple[str, ...]
    labels: str
    shards: str
    mixture: Mapping[str, int]
    workers: int
    prefetch: int

    def __post_init__(self) -> None:
        for key, known in (("labels", LABELS), ("layout", LAYOUTS)):
            value = getattr(self, key)
            if value not in known:
                raise ConfigError(f"config.data.{key}={value!r} is unknown; {nearest(value, known)}")
        if not isinstance(self.annotations, tuple):
            raise ConfigError(
                f"config.data.annotations must be a tuple of names, not {self.annotations!r}; of one: "
                f"{(self.annotations,)!r}"
            )
        if self.workers < 0 or self.prefetch < 1:
            raise ConfigError(
                f"config.data needs workers >= 0 and prefetch >= 1, got {self.workers} and {self.prefetch}"
            )
