"""The mesh: which devices split what.

Axes, from the slowest network to the fastest: `slice` replicates parameters over pod slices or hosts and splits the
batch, with one reduction of gradients a step between them; `data` does the same within a slice; `fsdp` splits
parameters and the batch; `sequence` splits a clip's positions (and within attention its heads); `tensor` splits heads
and feed-forward. Sizes come from the config; one may be -1 and takes the devices that are left.
"""

import dataclasses
import math
from collections.abc import Sequence

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh

from toto_jax.errors import ConfigError

# Axis -> its key in config.mesh.
AXES = {"slice": "slices", "data": "data", "fsdp": "fsdp", "sequence": "sequence", "tensor": "tensor"}


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """Devices along each axis; -1 (at most once) means "the rest"."""

    slices: int
    data: int
    fsdp: int
    sequence: int
    tensor: int


def axis_sizes(config: MeshConfig, devices: int) -> dict[str, int]:
    """Returns the size of each axis on `devices` devices.

    Raises:
      ConfigError: if the product can't be the number of devices, with sizes that would.
    """
    sizes = {axis: getattr(config, key) for axis, key in AXES.items()}
    shown = ", ".join(f"{AXES[axis]}={size}" for axis, size in sizes.items())
    if any(size == 0 or size < -1 for size in sizes.values()):
        raise ConfigError(f"Mesh axes must be positive or -1, got {shown}")
    free = [axis for axis, size in sizes.items() if size == -1]
    if len(free) > 1:
        raise ConfigError(f"Only one mesh axis may be -1, got {shown}")
    fixed = math.prod(size for size in sizes.values() if size != -1)
    if devices % fixed or (not free and fixed != devices):
        fitting = [size for size in range(1, devices + 1) if devices % size == 0]
        raise ConfigError(
            f"A mesh of {shown} can't be laid over {devices} device(s): the fixed axes multiply to {fixed}. "
            f"Let one axis be -1 and the others multiply to one of {fitting}"
        )
    if free:
        sizes[free[0]] = devices // fixed
    return sizes


def make_mesh(config: MeshConfig, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Returns the mesh over all devices, or over those given.

    Axes are Auto: the compiler propagates shardings from parameters, batch and the constraints in the model.

    Raises:
      ConfigError: if the sizes don't fit the devices, or their slices.
    """
    devices = list(devices) if devices is not None else jax.devices()
    sizes = axis_sizes(config, len(devices))
    within = tuple(size for axis, size in sizes.items() if axis != "slice")
    grids = [
        mesh_utils.create_device_mesh(within, group, allow_split_physical_axes=True)
        for group in _slices(devices, sizes["slice"])
    ]
    return Mesh(np.stack(grids), tuple(sizes), axis_types=(AxisType.Auto,) * len(sizes))


def _slices(devices: list[jax.Device], slices: int) -> list[list[jax.Device]]:
    """Returns the devices of each slice: as the hardware says, or else (GPU hosts, CPUs) in order of processes."""
    groups: dict[int, list[jax.Device]] = {}
    for device in devices:
        groups.setdefault(getattr(device, "slice_index", 0), []).append(device)
    if len(groups) > 1 and len(groups) != slices:
        raise ConfigError(
            f"The devices form {len(groups)} slices, joined by a slower network, but config.mesh.slices={slices}; "
            f"set config.mesh.slices={len(groups)}"
        )
    if len(groups) > 1:
        return [groups[index] for index in sorted(groups)]
    ordered = sorted(devices, key=lambda device: (device.process_index, device.id))
    size = len(ordered) // slices
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]
