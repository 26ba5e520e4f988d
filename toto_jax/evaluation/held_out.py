"""The loss of clips, position by position: what the evaluators of losses have in common.

Shapes: M clips, B clips at once, N codes or patches of a clip.
"""

from collections.abc import Callable, Iterator, Mapping

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding

from toto_jax.evaluation.context import Split
from toto_jax.evaluation.results import Result
from toto_jax.sharding.agreement import fetch
from toto_jax.sharding.rules import partition_spec
from toto_jax.training.task import Batch
from toto_jax.tree import Params


def each_source(
    splits: Mapping[str, Mapping[str, Split]], measure: Callable[[Split, Split], Iterator[tuple[str, Result]]]
) -> Iterator[tuple[str, Result]]:
    """Yields what `measure` finds of each source's train and validation clips, named after it if there are several."""
    for source, both in splits.items():
        prefix = f"{source}_" if len(splits) > 1 else ""
        for name, result in measure(both["train"], both["validation"]):
            yield prefix + name, result


def loss_by_clip(
    position_loss: Callable[[Params, Batch], jax.Array],
    params: Params,
    split: Split,
    numbers_M: np.ndarray,
    batch_size: int,
    mesh: Mesh,
) -> np.ndarray:
    """Returns loss_MN, float64.

    Args:
      position_loss: a task's, compiled: (params, batch) -> loss_BN.
      params: of the task.
      split: where the clips are.
      numbers_M: which ones.
      batch_size: B.
      mesh: over which a batch is spread.
    """
    parts = []
    for rows in batches_of(numbers_M, batch_size):
        batch = split.batch(rows)
        loss_BN = fetch(position_loss(params, spread(batch, mesh)))
        parts.append(loss_BN.astype(np.float64))
    return np.concatenate(parts)[: len(numbers_M)]


def batches_of(numbers_M: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Yields numbers in equal batches, so that there is one shape and one program; the last is filled up."""
    for start in range(0, len(numbers_M), batch_size):
        yield np.take(numbers_M, np.arange(start, start + batch_size), mode="wrap")


def spread(batch: dict[str, np.ndarray], mesh: Mesh) -> Batch:
    """Returns a batch's rows on the devices of a mesh."""
    return {
        name: jax.device_put(rows, NamedSharding(mesh, partition_spec(("batch", *[None] * (rows.ndim - 1)))))
        for name, rows in batch.items()
    }
