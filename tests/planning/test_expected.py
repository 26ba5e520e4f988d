import pytest

from tests.planning.test_roofline import HEAD, MATRICES, VOCABULARY, model
from tests.planning.tiny import FakeMesh
from toto_jax.planning.collectives import Collective
from toto_jax.planning.expected import along, expected_collectives


def found(remat: str = "none", passes: int = 1, **axes: int) -> dict[tuple[str, str], Collective]:
    got = expected_collectives(model(remat=remat), VOCABULARY, FakeMesh(**axes), 1000, passes)
    return {(one.kind, "+".join(one.axes)): one for one in got}


def test_one_device_is_silent() -> None:
    assert found(data=1, fsdp=1, tensor=1) == {}


def test_fsdp_gathers_weights_and_scatters_gradients() -> None:
    """bfloat16 weights forward and backward, and again under remat; float32 gradients once."""
    got = found(fsdp=8, tensor=1)
    assert set(got) == {("all-gather", "fsdp"), ("reduce-scatter", "fsdp")}
    assert got["all-gather", "fsdp"].total_wire == 2 * 2 * (MATRICES + HEAD) * 7 / 8
    assert got["reduce-scatter", "fsdp"].total_wire == 4 * (MATRICES + HEAD) * 7 / 8
    assert found("full", passes=4, fsdp=8)["all-gather", "fsdp"].count == 3 * 4


def test_copies_reduce_what_fsdp_leaves() -> None:
    got = found(slice=2, data=2, fsdp=4)["all-reduce", "slice+data"]
    assert got.payload == 4 * (MATRICES + HEAD) / 4
    assert got.total_wire == pytest.approx(2 * 3 / 4 * got.payload)


def test_tensor_reduces_activations_four_times_a_layer() -> None:
    got = found(fsdp=2, tensor=4)["all-reduce", "tensor"]
    assert (got.count, got.payload) == (2 * 4, 4 * 1000 * 256 * 2)
    assert found("full", fsdp=2, tensor=4)["all-reduce", "tensor"].count == 2 * 6
    assert found(fsdp=2, tensor=4)["all-gather", "fsdp"].payload == 2 * (MATRICES + HEAD) / 4


def test_sequence_exchanges_positions_for_heads() -> None:
    """Queries, keys, values and output of 256 numbers each, forward and backward, and again under remat."""
    got = found(sequence=4)["all-to-all", "sequence"]
    assert (got.count, got.payload) == (2 * 2, 2 * 1000 * 4 * 256)
    assert got.wire == got.payload * 3 / 4
    assert found("minimal", sequence=4)["all-to-all", "sequence"].count == 2 * 3


def test_positions_along_axes() -> None:
    mesh = FakeMesh(data=2, fsdp=3, tensor=4)
    assert along(mesh, ("tensor",)) == (0, 1, 2, 3)
    assert along(mesh, ("fsdp",)) == (0, 4, 8)
    assert along(mesh, ("data", "tensor")) == (0, 1, 2, 3, 12, 13, 14, 15)
