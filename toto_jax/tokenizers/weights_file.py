"""Parameters as a safetensors file: a tensor for each, by its path's name."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from toto_jax.errors import CheckpointError
from toto_jax.tree import Params, named_leaves

WEIGHTS_NAME = "weights.safetensors"
Tensors = dict[str, np.ndarray]


def tensors_of(params: Params) -> Tensors:
    """Returns the parameters by name.

    Contiguous, because safetensors writes the bytes of other arrays in another order without a word.
    """
    return {name: np.ascontiguousarray(leaf) for name, leaf in named_leaves(params).items()}


def tree_of(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the nested dict whose path names are the tensors'."""
    tree: dict[str, Any] = {}
    for name, array in tensors.items():
        *branches, leaf = name.split("/")
        branch = tree
        for part in branches:
            branch = branch.setdefault(part, {})
        branch[leaf] = array
    return tree


def check_tensors(abstract: Any, tensors: Tensors, what: str) -> None:
    """Checks that tensors are those of a tree.

    Args:
      abstract: shapes of the tree's leaves.
      tensors: by name.
      what: they are not, for the error.

    Raises:
      CheckpointError: with every tensor that is missing, unknown, or of another shape or dtype.
    """
    wanted = {name: f"{leaf.dtype} {leaf.shape}" for name, leaf in named_leaves(abstract).items()}
    found = {name: f"{array.dtype} {array.shape}" for name, array in tensors.items()}
    wrong = [
        f"{name}: {found.get(name, 'missing')} instead of {wanted.get(name, 'nothing')}"
        for name in sorted(wanted | found)
        if found.get(name) != wanted.get(name)
    ]
    if wrong:
        raise CheckpointError(f"{what}:\n  " + "\n  ".join(wrong))


def write_file(path: pathlib.Path, content: bytes) -> None:
    """Writes a file that is either complete or not there."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(content)
    temporary.replace(path)


def write_tensors(file: pathlib.Path, tensors: Tensors) -> None:
    """Writes tensors as of `tensors_of`; whole, or not at all."""
    write_file(file, safetensors.numpy.save(tensors))


def read_tensors(file: pathlib.Path, advice: str) -> Tensors:
    """Returns what `write_tensors` wrote.

    Args:
      file: its path.
      advice: what to do where it can't be read.

    Raises:
      CheckpointError: if it is missing, damaged or cut short.
    """
    if not file.is_file():
        raise CheckpointError(f"{file} is missing; {advice}")
    try:
        return safetensors.numpy.load_file(file)
    # An AttributeError is how it says that NumPy has no such dtype.
    except (OSError, ValueError, AttributeError, safetensors.SafetensorError) as error:
        raise CheckpointError(
            f"{file} ({file.stat().st_size:,} bytes) is damaged or cut short ({error}); {advice}"
        ) from error
