"""Files that PyTorch itself wrote, in both containers."""

import pathlib
from typing import Any

import numpy as np
import pytest

from toto_jax.interop.torch_file import read_torch_file

pytestmark = pytest.mark.reference
torch = pytest.importorskip("torch", reason="the reference is written in PyTorch")
CONTAINERS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def check(path: pathlib.Path, wanted: dict[str, Any]) -> None:
    got = read_torch_file(path)
    assert list(got) == list(wanted)
    for name, tensor in wanted.items():
        values = tensor.detach().to(torch.float64).numpy()
        assert got[name].shape == values.shape, name
        np.testing.assert_array_equal(got[name].astype(np.float64), values, err_msg=name)


@CONTAINERS
def test_state_dicts_of_all_dtypes_and_layouts(tmp_path: pathlib.Path, zipped: bool) -> None:
    torch.manual_seed(0)
    base = torch.randn(6, 8)
    state = {
        "plain": base, "transposed": base.T, "strided": base[::2, 1::3], "row": base[3], "scalar": base[2, 2],
        "empty": torch.zeros(0, 4), "channels_last": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "parameter": torch.nn.Parameter(torch.randn(3)), "flags": torch.tensor([True, False]),
        **{str(kind): torch.randn(5).mul(10).to(kind) for kind in (
            torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
            torch.uint8,
        )},
    }  # fmt: skip
    torch.save(state, tmp_path / "file", _use_new_zipfile_serialization=zipped)
    check(tmp_path / "file", state)


@CONTAINERS
def test_whole_modules_have_the_names_of_their_state_dict(tmp_path: pathlib.Path, zipped: bool) -> None:
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3),
        torch.nn.BatchNorm2d(4),
        torch.nn.Sequential(torch.nn.Linear(4, 2, bias=False)),
    )
    torch.save(module, tmp_path / "file", _use_new_zipfile_serialization=zipped)
    check(tmp_path / "file", dict(module.state_dict()))


@CONTAINERS
def test_checkpoints_with_optimizer_and_settings(tmp_path: pathlib.Path, zipped: bool) -> None:
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.randn(1, 3)).sum().backward()
    optimizer.step()
    whole = {
        "epoch": 3,
        "state_dict": layer.state_dict(),
        "optimizer_states": [optimizer.state_dict()],
        "lr": 1e-3,
    }
    torch.save(whole, tmp_path / "file", _use_new_zipfile_serialization=zipped)
    check(tmp_path / "file", {f"state_dict.{name}": tensor for name, tensor in layer.state_dict().items()})
