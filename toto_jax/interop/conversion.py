"""Other people's tensors as a tree of ours: each renamed, kernels transposed, none left over."""

from collections.abc import Callable, Mapping

import jax
import numpy as np

from toto_jax.errors import CheckpointError
from toto_jax.tree import Params, named_leaves, path_name

Tensors = Mapping[str, np.ndarray]
_SHOWN = 10


def shape_of(tensors: Tensors, name: str, dimensions: int, what: str) -> tuple[int, ...]:
    """Returns the shape of a tensor that says sizes.

    Args:
      tensors: theirs by name.
      name: of the tensor.
      dimensions: that it must have.
      what: the file is not, if it hasn't.

    Raises:
      CheckpointError: if it is missing, empty, or has another number of dimensions.
    """
    if name not in tensors:
        raise CheckpointError(f"{what}: it has no {name}")
    shape = tensors[name].shape
    if len(shape) != dimensions or not all(shape):
        raise CheckpointError(f"{what}: {name} has shape {shape}, not {dimensions} dimensions")
    return shape


def convert(abstract: Params, tensors: Tensors, their_name: Callable[[str], str], what: str) -> Params:
    """Returns a tree like `abstract` with their values as float32.

    Args:
      abstract: shapes of ours; kernels of convolutions are (height, width, in, out).
      tensors: theirs by name; kernels of convolutions are (out, in, height, width). Each must be used.
      their_name: of one of our parameters.
      what: they are, for the error.

    Raises:
      CheckpointError: naming what is missing, too much, or of another shape.
    """
    theirs = {their_name(name): leaf.shape for name, leaf in named_leaves(abstract).items()}
    ours = {
        name: array.transpose(2, 3, 1, 0) if array.ndim == 4 else array for name, array in tensors.items()
    }
    wrong = [
        f"{name}: {ours[name].shape if name in ours else 'missing'} instead of {theirs.get(name, 'nothing')}"
        for name in sorted(theirs | ours)
        if name not in ours or name not in theirs or ours[name].shape != theirs[name]
    ]
    if wrong:
        more = f"\n  and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        shown = "\n  ".join(wrong[:_SHOWN]) + more
        raise CheckpointError(f"{what} of these sizes (kernels as height, width, in, out):\n  {shown}")
    return jax.tree.map_with_path(
        lambda path, _: np.ascontiguousarray(ours[their_name(path_name(path))], np.float32), abstract
    )
