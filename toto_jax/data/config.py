"""The data section of a config."""

import dataclasses
from collections.abc import Mapping

from toto_jax.errors import ConfigError, nearest

LABELS = ("none", "folder")


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Attributes:
    media: folder or list of videos and images, "synthetic", or "" when shards exist already.
    labels: "folder" takes the name of a file's folder for its class; "none".
    shards: folder of `<source>/<split>` shards; "" means `<workdir>/shards`.
    paired: the same for codes of the very same clips, where a task wants both; "" means `<workdir>/paired`.
    mixture: source -> whole-number weight.
    workers: processes that read shards; 0 reads in threads.
    prefetch: batches kept ready on the devices.
    """

    media: str
    labels: str
    shards: str
    paired: str
    mixture: Mapping[str, int]
    workers: int
    prefetch: int

    def __post_init__(self) -> None:
        if self.labels not in LABELS:
            raise ConfigError(
                f"config.data.labels={self.labels!r} is unknown; {nearest(self.labels, LABELS)}"
            )
        if self.workers < 0 or self.prefetch < 1:
            raise ConfigError(
                f"config.data needs workers >= 0 and prefetch >= 1, got {self.workers} and {self.prefetch}"
            )
