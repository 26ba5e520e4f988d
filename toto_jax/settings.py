"""A whole config as frozen dataclasses: what the package holds instead of a ConfigDict."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import ml_collections

from toto_jax.config import section
from toto_jax.data.clips import ClipsConfig
from toto_jax.data.config import DataConfig
from toto_jax.data.decoding import DecodingConfig
from toto_jax.errors import ConfigError, nearest
from toto_jax.models.parametrisation import MupConfig
from toto_jax.sharding.mesh import MeshConfig
from toto_jax.tasks.dvae import DVAETaskConfig
from toto_jax.tasks.next_token import NextTokenConfig
from toto_jax.tasks.patches import PATCH_TASKS, PatchesConfig
from toto_jax.tasks.vqgan import VQGANTaskConfig
from toto_jax.tokenizers.base import ENCODE_DTYPES, Network
from toto_jax.tokenizers.kinds import build_network
from toto_jax.training.checkpoint import CheckpointConfig
from toto_jax.training.monitor import TrainConfig
from toto_jax.training.optimizer import OptimizerConfig
from toto_jax.training.profiling import ProfileConfig
from toto_jax.video import ClipGeometry

TASKS = ("next_token", *PATCH_TASKS, "tokenizer")


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

    def __post_init__(self) -> None:
        if self.encode_dtype not in ENCODE_DTYPES:
            raise ConfigError(
                f"config.tokenizer.encode_dtype={self.encode_dtype!r} is unknown; "
                f"{nearest(self.encode_dtype, ENCODE_DTYPES)}"
            )

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
    mup: MupConfig
    next_token: NextTokenConfig
    patches: PatchesConfig
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
        """Frames of a clip, and codes or patches of a frame.

        Raises:
          ConfigError: if a frame isn't a whole number of them, or patches are to predict codes of another grid.
        """
        size, patches = self.clips.size, self.task == "patch_to_patch"
        side = self.patches.side if patches else 2**self.tokenizer.halvings
        if size % side:
            what = (
                f"patches of config.patches.side={side} pixels"
                if patches
                else f"codes of {side} pixels (config.tokenizer.halvings={self.tokenizer.halvings})"
            )
            raise ConfigError(
                f"config.clips.size={size} is not a whole number of {what}; {max(size // side, 1) * side} would be"
            )
        grid, codes = size // side, 1
        if self.task == "patch_to_code" or not (patches or self.tokenizer.kind == "pixels"):
            codes = len(self.tokenizer.network.vocabularies)
        if self.task == "patch_to_code" and (self.patches.side, codes) != (side, 1):
            own = size // self.patches.side
            raise ConfigError(
                f"config.patches.side={self.patches.side} makes {own} x {own} patches of a frame, its codes are "
                f"{grid} x {grid * codes}: each patch is to predict one code. Set config.patches.side={side}, and a "
                "tokenizer with one code at a position"
            )
        return ClipGeometry(frames=self.clips.frames, height=grid, width=grid * codes)

    @property
    def evaluated_sources(self) -> list[str]:
        """The sources that evaluators look at: those of the run's own geometry."""
        return [name for name in self.data.sources if name not in self.data.other_shapes]

    def shard_folders(self, workdir: pathlib.Path) -> dict[str, pathlib.Path]:
        """Returns the folders of `<source>/<split>` shards that the task reads: of "codes", "pixels", or both."""
        shards = pathlib.Path(self.data.shards or workdir / "shards")
        if self.task == "patch_to_code":
            return {"codes": pathlib.Path(self.data.paired or workdir / "paired"), "pixels": shards}
        return {"codes" if self.task == "next_token" else "pixels": shards}


_SECTIONS = {
    "data": DataConfig,
    "clips": ClipsConfig,
    "decoding": DecodingConfig,
    "tokenizer": TokenizerConfig,
    "mup": MupConfig,
    "next_token": NextTokenConfig,
    "patches": PatchesConfig,
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
    if settings.task in PATCH_TASKS:
        _ = settings.geometry  # stops here, before any work, if patches and codes don't fit together
    return settings
