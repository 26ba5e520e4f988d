"""What is learned, apart from how: a task is handed to the one trainer."""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import jax

from toto_jax.tree import Axes, Params

Batch = dict[str, jax.Array]
# name -> (sum, count): sums travel with their denominators, so that means over microbatches, hosts and steps are exact.
Metrics = dict[str, tuple[jax.Array, jax.Array]]


@dataclasses.dataclass(frozen=True)
class Frozen:
    """What a loss finds among its parameters that is neither learned nor saved: another network's.

    Attributes:
      abstract: their shapes, a dict; its keys are none of the task's own parameters.
      load: returns them, once a run begins; each process reads them for itself.
    """

    abstract: Params = dataclasses.field(default_factory=dict)
    load: Callable[[], Params] = dict


class Task(Protocol):
    """Parameters, a loss on a batch, and the batch's shapes. Pure: nothing in here changes.

    Attributes:
      activation_axes: logical axes, beyond those of parameters and batch, that its computation is split along.
    """

    activation_axes: Axes

    def init(self, key: jax.Array) -> Params:
        """Returns float32 parameters, a nested dict."""

    def logical_axes(self) -> Any:
        """Returns a tree like `init`'s whose leaves are tuples of logical axis names."""

    def batch_spec(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Returns the shapes and dtypes of a global batch."""

    def loss(
        self, params: Params, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """Returns the scalar to minimise and metrics as sums with their denominators.

        `step` is the optimizer step, for annealed weights and temperatures.
        """
