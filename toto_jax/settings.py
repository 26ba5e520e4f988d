"""A whole config as frozen dataclasses: what the package holds instead of a ConfigDict."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import ml_collections

from toto_jax.config import section
from toto_jax.data.clips import ClipsConfig
from toto_jax.data.config import DataConfig
from toto_jax.data.decoding import DecodingConfig
from toto_jax.errors import ConfigError, nearest
from toto_jax.sharding.mesh import MeshConfig
from toto_jax.tasks.dvae import DVAETaskConfig
from toto_jax.tasks.next_token import NextTokenConfig
from toto_jax.tasks.vqgan import VQGANTaskConfig
from toto_jax.tokenizers.base import Network
from toto_jax.tokenizers.kinds import build_network
from toto_jax.training.checkpoint import CheckpointConfig
from toto_jax.training.monitor import TrainConfig
from toto_jax.training.optimizer import OptimizerConfig
from toto_jax.training.profiling import ProfileConfig
from toto_jax.video import ClipGeometry

TASKS = ("next_token", "tokenizer")


@dataclasses.dataclass(frozen=True)
class TokenizerConfig:
    """Attributes:
    kind: one of `tokenizers.kinds.NETWORKS`, or "pixels" for raw frames.
    path: folder of a saved one; "" means `<workdir>/tokenizer`.
    training: whole config (plain dicts) of the run that trains it when it is missing, or None.
    encode_dtype: of the encoder's convolutions where a saved one is loaded; see `TokenizerSpec`.
    codebook_size and all that follow: its architecture; see the kind's own config.
    """

    kind: str
    path: str
    training: Mapping[str, Any] | None
    encode_dtype: str
    codebook_size: int
    halvings: int
    width: int
    blocks: int
    decoder_stem: int
    multipliers: tuple[int, ...]
    attention: tuple[int, ...]
    latent: int
    code_width: int
    quantizer: str
    normalize: bool
    levels: tuple[int, ...]
    codes_per_position: int

    @property
    def network(self) -> Network:
        """The network of these sizes."""
        return build_network(self.kind, vars(self))

    @property
    def architecture(self) -> dict[str, Any]:
        """The keys that say what it is: all but where it is, how it is trained and how it is run."""
        others = ("path", "training", "encode_dtype")
        return {name: value for name, value in vars(self).items() if name not in others}


@dataclasses.dataclass(frozen=True)
class Settings:
    """One field for each key of configs/default.py."""

    name: str
    seed: int
    task: str
    init_from: str
    data: DataConfig
    clips: ClipsConfig
    decoding: DecodingConfig
    tokenizer: TokenizerConfig
    model: Mapping[str, Any]
    next_token: NextTokenConfig
    dvae: DVAETaskConfig
    vqgan: VQGANTaskConfig
    optimizer: OptimizerConfig
    train: TrainConfig
    mesh: MeshConfig
    checkpoint: CheckpointConfig
    profile: ProfileConfig
    evals: Mapping[str, Mapping[str, Any]]
    report: bool

    @property
    def geometry(self) -> ClipGeometry:
        """Frames and codes of a clip."""
        side = 2**self.tokenizer.halvings
        if self.clips.size % side:
            raise ConfigError(
                f"config.clips.size={self.clips.size} is not a whole number of codes of {side} pixels "
                f"(config.tokenizer.halvings={self.tokenizer.halvings}); "
                f"{max(self.clips.size // side, 1) * side} would be"
            )
        grid = self.clips.size // side
        codes = 1 if self.tokenizer.kind == "pixels" else len(self.tokenizer.network.vocabularies)
        return ClipGeometry(frames=self.clips.frames, height=grid, width=grid * codes)


_SECTIONS = {
    "data": DataConfig,
    "clips": ClipsConfig,
    "decoding": DecodingConfig,
    "tokenizer": TokenizerConfig,
    "next_token": NextTokenConfig,
    "dvae": DVAETaskConfig,
    "vqgan": VQGANTaskConfig,
    "optimizer": OptimizerConfig,
    "train": TrainConfig,
    "mesh": MeshConfig,
    "checkpoint": CheckpointConfig,
    "profile": ProfileConfig,
}


def parse(config: ml_collections.ConfigDict) -> Settings:
    """Returns the config as dataclasses.

    Raises:
      ConfigError: on an unknown or missing key, or a value that can't be, in any section.
    """
    fields = [field.name for field in dataclasses.fields(Settings)]
    for key in config:
        if key not in fields:
            raise ConfigError(f"config has no key {key!r}; {nearest(key, fields)}")
    missing = [name for name in fields if name not in config]
    if missing:
        raise ConfigError(f"config lacks {', '.join(missing)}; start from configs/default.py and override")
    plain = section(Settings, config, "config")
    values = {name: getattr(plain, name) for name in fields}
    for name, cls in _SECTIONS.items():
        values[name] = section(cls, values[name], name)
    settings = Settings(**values)
    if settings.task not in TASKS:
        raise ConfigError(f"config.task={settings.task!r} is unknown; {nearest(settings.task, TASKS)}")
    return settings
