"""The tensors of a Hugging Face model, taken one by one: each of the size that the others make it, none left over."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from toto_jax.errors import CheckpointError
from toto_jax.interop.conversion import Tensors


class Reader:
    """Args:
    tensors: by their names.
    prefix: that their names may begin with, or not.
    layers: what the names of a layer's tensors begin with, behind the prefix, with `{}` for its number.
    """

    def __init__(self, tensors: Tensors, prefix: str, layers: str):
        self._left = {name.removeprefix(prefix): array for name, array in tensors.items()}
        self._layers = layers
        self.depth = 0
        while any(name.startswith(layers.format(self.depth)) for name in self._left):
            self.depth += 1
        if not self.depth:
            raise CheckpointError(f"The file has no tensor {prefix}{layers.format(0)}...")

    def drop(self, *endings: str) -> None:
        """Passes over tensors that say nothing: buffers, and a head that is the embedding."""
        self._left = {name: array for name, array in self._left.items() if not name.endswith(endings)}

    def size(self, name: str, axis: int) -> int:
        """Returns the length of a tensor's axis; `name` may be one of layer 0."""
        for full in (name, self._layers.format(0) + name):
            if full in self._left and self._left[full].ndim > axis:
                return self._left[full].shape[axis]
        raise CheckpointError(f"The tensor {name!r} is missing from the file, or has no axis {axis}")

    def take(self, name: str, *shape: int) -> np.ndarray:
        """Returns a tensor as float32.

        Raises:
          CheckpointError: if it is missing or of another shape.
        """
        if name not in self._left:
            raise CheckpointError(f"The tensor {name!r} is missing from the file")
        array = np.asarray(self._left.pop(name), np.float32)
        if array.shape != shape:
            raise CheckpointError(f"{name} has shape {array.shape}, and the other tensors make it {shape}")
        return array

    def stack(self, name: str, *shape: int) -> np.ndarray:
        """Returns all layers' tensors of a name, stacked in front."""
        return np.stack([self.take(self._layers.format(layer) + name, *shape) for layer in range(self.depth)])

    def finish(self) -> None:
        """Raises CheckpointError if a tensor wasn't taken."""
        if self._left:
            some = ", ".join(sorted(self._left)[:5])
            raise CheckpointError(f"{len(self._left)} tensors have no place in our decoder: {some}")


def check_settings(settings: Mapping[str, Any], kind: str, wanted: Mapping[str, tuple[Any, ...]]) -> None:
    """Raises CheckpointError unless config.json is of a kind, with nothing in it that our decoder doesn't have.

    Args:
      settings: config.json.
      kind: its `model_type`.
      wanted: key -> values that it may have, the first where it is missing.
    """
    if settings.get("model_type") != kind:
        raise CheckpointError(f"config.json is of a {settings.get('model_type')!r}, not {kind!r}")
    for key, values in wanted.items():
        if settings.get(key, values[0]) not in values:
            raise CheckpointError(f"config.json says {key}={settings[key]!r}, which our decoder doesn't have")


def check_sizes(settings: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    """Raises CheckpointError if config.json says other sizes than the tensors have."""
    wrong = [
        f"{key} is {settings[key]!r} there and {size} here"
        for key, size in sizes.items()
        if settings.get(key) not in (None, size, "auto")
    ]
    if wrong:
        raise CheckpointError(f"config.json is of another model than the tensors: {'; '.join(wrong)}")


def number(settings: Mapping[str, Any], key: str, default: float | None = None) -> float:
    """Returns a number of config.json.

    Raises:
      CheckpointError: if it is none, or missing without a default.
    """
    found = settings.get(key, default)
    if found is None:
        raise CheckpointError(f"config.json lacks {key!r}, which the tensors don't tell")
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        raise CheckpointError(f"config.json says {key}={found!r}, which is no number")
    return float(found)
