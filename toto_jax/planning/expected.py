"""The collectives that a layout needs by its nature, for plans that nobody has compiled."""

import math

import numpy as np
from jax.sharding import Mesh

from toto_jax.models.config import DecoderConfig
from toto_jax.models.counts import matmul_parameter_count
from toto_jax.planning.collectives import Collective, wire_bytes


def expected_collectives(
    config: DecoderConfig, vocabulary: int, mesh: Mesh, tokens: float, passes: int
) -> list[Collective]:
    """Returns the collectives of one step, each with the mesh axes that it runs along.

    `fsdp` gathers the weights in the compute dtype, forward, backward, and once more under remat, and scatters their
    float32 gradients, in each microbatch. `data` and `slice` reduce what is left of the gradients, in each
    microbatch. `tensor` reduces the activations after attention and after the feed-forward, forward, backward, and
    again under full remat; its devices share their tokens. `sequence` exchanges positions for heads and back, of
    queries, keys, values and attention's output, forward, backward, and again under remat.

    Args:
      config: the decoder's sizes.
      vocabulary: ids, padded.
      mesh: the layout.
      tokens: of one microbatch, divided by all devices.
      passes: microbatches.
    """
    sizes = {name: size for name, size in mesh.shape.items() if size > 1}
    weights = matmul_parameter_count(config, vocabulary) / sizes.get("tensor", 1)
    again = 0 if config.remat == "none" else 1
    layers = config.layers * passes
    found = []

    def add(kind: str, axes: tuple[str, ...], count: int, payload: float) -> None:
        group = along(mesh, axes)
        wire = wire_bytes(kind, payload, len(group))
        found.append(Collective(kind, axes, len(group), group, count, payload, wire))

    if "fsdp" in sizes:
        add("all-gather", ("fsdp",), passes * (2 + again), 2 * weights)
        add("reduce-scatter", ("fsdp",), passes, 4 * weights)
    replicas = tuple(name for name in ("slice", "data") if name in sizes)
    if replicas:
        add("all-reduce", replicas, passes, 4 * weights / sizes.get("fsdp", 1))
    if "tensor" in sizes:
        add(
            "all-reduce",
            ("tensor",),
            layers * (4 + 2 * (config.remat == "full")),
            2 * tokens * sizes["tensor"] * config.d_model,
        )
    if "sequence" in sizes:
        add("all-to-all", ("sequence",), layers * (2 + again), 2 * tokens * config.exchanged)
    return sorted(found, key=lambda one: -one.total_wire)


def along(mesh: Mesh, axes: tuple[str, ...]) -> tuple[int, ...]:
    """Returns the positions (in `mesh.devices.flat`) of the first device's group along some axes."""
    shape = tuple(mesh.shape.values())
    positions = np.arange(math.prod(shape)).reshape(shape)
    chosen = tuple(slice(None) if name in axes else 0 for name in mesh.shape)
    return tuple(positions[chosen].ravel().tolist())
