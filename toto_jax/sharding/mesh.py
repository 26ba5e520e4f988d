"""The mesh: which devices split what.

Axes: `data` replicates parameters and splits the batch; `fsdp` splits parameters and the batch; `tensor`
splits heads and feed-forward. Sizes come from the config; one may be -1 and takes the devices that are left.
"""

import dataclasses
import math
from collections.abc import Sequence

import jax
from jax.sharding import AxisType, Mesh

from toto_jax.errors import ConfigError

AXES = ("data", "fsdp", "tensor")


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """Devices along each axis; -1 (at most once) means "the rest"."""

    data: int
    fsdp: int
    tensor: int


def axis_sizes(config: MeshConfig, devices: int) -> dict[str, int]:
    """Returns the size of each axis on `devices` devices.

    Raises:
      ConfigError: if the product can't be the number of devices, with sizes that would.
    """
    sizes = {axis: getattr(config, axis) for axis in AXES}
    shown = ", ".join(f"{axis}={size}" for axis, size in sizes.items())
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
    """
    devices = list(devices) if devices is not None else jax.devices()
    sizes = axis_sizes(config, len(devices))
    return jax.make_mesh(
        tuple(sizes.values()), tuple(sizes), axis_types=(AxisType.Auto,) * len(sizes), devices=devices
    )
