"""LPIPS (1801.03924): how different two pictures look to a network that was trained to name what is in pictures.

Five places of VGG16 (1409.1556) are compared, each position's channels scaled to length one: squared differences,
weighted, averaged over the positions and summed over the places. There are no weights of it here; users bring them.

Shapes: N frames, H x W pixels or positions, C channels.
"""

import functools
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from toto_jax.errors import StorageError
from toto_jax.models.functional import Functional, parameter
from toto_jax.tokenizers.convolutions import COLOURS, Conv, halve
from toto_jax.tokenizers.weights_file import (
    WEIGHTS_NAME,
    check_tensors,
    read_tensors,
    tensors_of,
    tree_of,
    write_tensors,
)
from toto_jax.tree import Params

# Channels and convolutions of each of VGG16's groups; what the last one of a group gives, after its ReLU, is compared.
GROUPS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
# Each group but the first begins by halving, and something must be left.
LEAST_SIZE = 2 ** (len(GROUPS) - 1)
# Mean and deviation of ImageNet's colours, with pixels in -1..1.
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
_EPS = 1e-10
_ADVICE = "import VGG16 and the heads with python -m toto_jax.interop.import_weights lpips"


class Perceptual(nnx.Module):
    """VGG16's convolutions and the five heads."""

    def __init__(self, rngs: nnx.Rngs):
        channels = COLOURS
        for group, (out, convolutions) in enumerate(GROUPS, 1):
            for number in range(1, convolutions + 1):
                axes = ("pixels" if channels == COLOURS else "channels_in", "channels_out")
                setattr(self, f"conv_{group}_{number}", Conv(3, channels, out, rngs, axes))
                channels = out
            setattr(self, f"head_{group}", parameter(rngs, (channels,), ("norm",), nnx.initializers.ones))

    def features(self, x_NHWC: jax.Array) -> list[jax.Array]:
        """Returns what is compared of pictures in -1..1, from fine to coarse."""
        x_NHWC = (x_NHWC - np.float32(SHIFT)) / np.float32(SCALE)
        found = []
        for group, (_, convolutions) in enumerate(GROUPS, 1):
            if group > 1:
                height, width = (size // 2 * 2 for size in x_NHWC.shape[1:3])
                x_NHWC = halve(x_NHWC[:, :height, :width])
            for number in range(1, convolutions + 1):
                x_NHWC = nnx.relu(getattr(self, f"conv_{group}_{number}")(x_NHWC))
            found.append(_directions(x_NHWC))
        return found

    def distance(self, features: list[jax.Array], others: list[jax.Array]) -> jax.Array:
        """Returns distance_N between what `features` gave of two pictures."""
        distance_N = jnp.zeros(len(features[0]))
        for group, (one_NHWC, other_NHWC) in enumerate(zip(features, others, strict=True), 1):
            weights_C = getattr(self, f"head_{group}")[...]
            distance_N += (jnp.square(one_NHWC - other_NHWC) * weights_C).sum(-1).mean((1, 2))
        return distance_N


@functools.cache
def perceptual() -> Functional[Perceptual]:
    """Returns the network as pure functions of its parameters."""
    return Functional(Perceptual)


def save_perceptual(folder: pathlib.Path, params: Params) -> None:
    """Writes its parameters.

    Raises:
      CheckpointError: if they are not those of the network.
      StorageError: if the folder can't be written.
    """
    tensors = tensors_of(params)
    check_tensors(abstract(), tensors, "These parameters are not those of LPIPS")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_tensors(folder / WEIGHTS_NAME, tensors)
    except OSError as error:
        raise StorageError(f"The weights can't be saved in {folder}: {error}") from error


def load_perceptual(folder: pathlib.Path) -> Params:
    """Returns what `save_perceptual` wrote, as NumPy arrays.

    Raises:
      CheckpointError: if it isn't there, or holds something else.
    """
    tensors = read_tensors(folder / WEIGHTS_NAME, _ADVICE)
    check_tensors(abstract(), tensors, f"{folder / WEIGHTS_NAME} holds others than those of LPIPS")
    return tree_of(tensors)


def abstract() -> Any:
    """Returns the shapes of its parameters."""
    return jax.eval_shape(perceptual().init, jax.random.key(0))


def _directions(x_NHWC: jax.Array) -> jax.Array:
    square = jnp.square(x_NHWC).sum(-1, keepdims=True)
    # Where nothing is active the root has no gradient, and the quotient is zero whatever it is divided by.
    active = square > 0
    length = jnp.sqrt(jnp.where(active, square, 1.0))
    return jnp.where(active, x_NHWC / (length + _EPS), 0.0)
