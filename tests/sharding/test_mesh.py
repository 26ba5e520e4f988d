import jax
import pytest

from toto_jax.errors import ConfigError
from toto_jax.sharding.mesh import MeshConfig, axis_sizes, make_mesh


@pytest.mark.parametrize(
    ("config", "devices", "sizes"),
    [
        (MeshConfig(1, -1, 1), 8, (1, 8, 1)),
        (MeshConfig(-1, 2, 2), 8, (2, 2, 2)),
        (MeshConfig(2, 4, 1), 8, (2, 4, 1)),
        (MeshConfig(1, -1, 1), 1, (1, 1, 1)),
    ],
)
def test_free_axis_takes_the_rest(config: MeshConfig, devices: int, sizes: tuple[int, ...]) -> None:
    assert tuple(axis_sizes(config, devices).values()) == sizes


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (MeshConfig(1, -1, 3), r"multiply to 3.*\[1, 2, 4, 8\]"),
        (MeshConfig(1, 4, 1), "multiply to 4"),
        (MeshConfig(-1, -1, 1), "Only one mesh axis"),
        (MeshConfig(0, -1, 1), "positive or -1"),
    ],
)
def test_impossible_meshes_say_what_would_fit(config: MeshConfig, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        axis_sizes(config, 8)


def test_a_mesh_over_some_devices() -> None:
    mesh = make_mesh(MeshConfig(1, 2, 2), jax.devices()[:4])
    assert dict(mesh.shape) == {"data": 1, "fsdp": 2, "tensor": 2}
    assert set(mesh.devices.flat) == set(jax.devices()[:4])
