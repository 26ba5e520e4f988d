"""What the configs of all decoders have in common: sizes, choices, and the work that follows from them."""

import dataclasses
from typing import ClassVar

from toto_jax.errors import ConfigError, nearest
from toto_jax.models import remat

DTYPES = ("float32", "bfloat16")


@dataclasses.dataclass(frozen=True)
class DecoderConfig:
    """Keys of every decoder; configs/default.py says what each means.

    Attributes:
      sizes: keys that a base model of muP may have another value of.
      shared_out: keys whose sizes are split over the devices along heads within a block; they must divide.

    Raises:
      ConfigError: on a number that isn't positive, or an unknown dtype or remat policy.
    """

    sizes: ClassVar[tuple[str, ...]] = ("layers", "d_model")
    shared_out: ClassVar[tuple[str, ...]] = ()

    layers: int
    d_model: int
    norm_eps: float
    init_std: float
    tied_head: bool
    vocabulary_multiple: int
    dtype: str
    remat: str
    scan_unroll: int

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type in (int, float) and value <= 0:
                raise ConfigError(f"config.model.{field.name} must be positive, got {value}")
        if self.dtype not in DTYPES:
            raise ConfigError(f"config.model.dtype={self.dtype!r} is unknown; {nearest(self.dtype, DTYPES)}")
        remat.check(self.remat)

    def on(self, platform: str) -> "DecoderConfig":
        """Returns the config with what these devices ("cpu", "gpu", "tpu") run best where it leaves that open."""
        del platform
        return self

    @property
    def block_matrices(self) -> int:
        """Parameters of a block that each token is multiplied with."""
        raise NotImplementedError

    @property
    def block_vectors(self) -> int:
        """All other parameters of a block."""
        raise NotImplementedError

    @property
    def end_vectors(self) -> int:
        """Parameters around the blocks, but for embedding and head of ids."""
        return self.d_model

    def mixing_flops(self, context: int, causal: bool) -> int:
        """Returns FLOPs of a block's forward pass for one token that are not products with parameters.

        Args:
          context: T, positions of a sequence.
          causal: count only what a position sees, or all of it where that is more.
        """
        raise NotImplementedError

    @property
    def mixing_rows(self) -> int:
        """Rows of a matrix unit that are busy in that work."""
        raise NotImplementedError

    @property
    def block_activations(self) -> int:
        """Numbers that a block reads and writes for one token, each product, norm and sum on its own."""
        raise NotImplementedError

    @property
    def exchanged(self) -> int:
        """Numbers of a token that devices along a sequence hand over in a block, and back."""
        raise NotImplementedError
