"""The data section of a config."""

import dataclasses
from collections.abc import Mapping

from toto_jax.data.mixture import Weight, phases
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
    paired: the same for codes of the very same clips, where a task wants both; "" means `<workdir>/paired`.
    mixture: source -> whole-number weight, or its changes over steps (see `data.mixture`).
    window: shards of a source among which clips are shuffled; 0 for all of them.
    wait_seconds: how long to wait for a shard that is being staged.
    other_shapes: sources whose clips have another shape than the config's, with as many codes.
    workers: processes that read shards; 0 reads in threads.
    prefetch: batches kept ready on the devices.
    """

    media: str
    layout: str
    annotations: tuple[str, ...]
    labels: str
    shards: str
    paired: str
    mixture: Mapping[str, Weight]
    window: int
    wait_seconds: float
    other_shapes: tuple[str, ...]
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
        for name in self.other_shapes:
            if name not in self.mixture:
                raise ConfigError(
                    f"config.data.other_shapes names {name!r}; {nearest(name, self.mixture)} (config.data.mixture)"
                )
        if self.workers < 0 or self.prefetch < 1:
            raise ConfigError(
                f"config.data needs workers >= 0 and prefetch >= 1, got {self.workers} and {self.prefetch}"
            )
        if self.window < 0 or self.wait_seconds <= 0:
            raise ConfigError(
                f"config.data needs window >= 0 and wait_seconds > 0, got {self.window} and {self.wait_seconds}"
            )
        for key, folder in (("shards", self.shards), ("paired", self.paired)):
            if "://" in folder:
                raise ConfigError(
                    f"config.data.{key}={folder!r} is no folder: shards are read from a mounted path. Mount the "
                    "bucket, or copy the shards from it while training: python -m toto_jax.data.stage "
                    f"--source={folder}"
                )
        phases(self.mixture)

    @property
    def sources(self) -> list[str]:
        """The sources that the run reads at one time or another."""
        return list(phases(self.mixture)[0][1])
