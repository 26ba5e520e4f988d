"""Names and files of LPIPS without PyTorch; test_lpips_reference.py reads what PyTorch wrote."""

import pathlib
from typing import Any

import jax
import numpy as np
import pytest

from tests.interop.torch_writer import tensor, write_zip
from tests.tokenizers.random_lpips import random_lpips
from toto_jax.errors import CheckpointError
from toto_jax.interop.kinds import KINDS
from toto_jax.interop.lpips import import_lpips, their_name
from toto_jax.tokenizers.perceptual import load_perceptual
from toto_jax.tree import named_leaves

SHIFT = np.float32([-0.030, -0.088, -0.188]).reshape(1, 3, 1, 1)


def write(path: pathlib.Path, arrays: dict[str, np.ndarray]) -> pathlib.Path:
    storages = {str(number): array for number, array in enumerate(arrays.values())}
    state = {name: tensor(str(number), array) for number, (name, array) in enumerate(arrays.items())}
    write_zip(path, state, storages)
    return path


def theirs(params: Any) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Returns VGG16 and the heads as their files have them."""
    vgg, heads = {}, {}
    for name, leaf in named_leaves(params).items():
        if name.startswith("head"):
            heads[their_name(name).replace("weight", "model.1.weight")] = leaf.reshape(1, -1, 1, 1)
        else:
            vgg[their_name(name)] = np.ascontiguousarray(
                leaf.transpose(3, 2, 0, 1) if leaf.ndim == 4 else leaf
            )
    return {**vgg, "classifier.0.weight": np.zeros((4, 2), np.float32)}, heads


def test_numbers_of_layers_are_vgg16s() -> None:
    """Of torchvision's listing: 64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512, a ReLU behind each."""
    numbers = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
    names = [f"conv_{group}_{n}" for group, most in enumerate((2, 2, 3, 3, 3), 1) for n in range(1, most + 1)]
    assert [their_name(f"{name}/kernel") for name in names] == [f"features.{n}.weight" for n in numbers]
    assert their_name("conv_1_2/bias") == "features.2.bias"
    assert their_name("head_5") == "lin4.weight"


def test_both_files_become_ours_and_what_is_wrong_is_named(tmp_path: pathlib.Path) -> None:
    params = random_lpips()
    vgg, heads = theirs(params)
    first = write(tmp_path / "vgg16.pth", vgg)
    found = import_lpips(first, write(tmp_path / "vgg.pth", {**heads, "scaling_layer.shift": SHIFT}))
    jax.tree.map(np.testing.assert_array_equal, found, params)
    said = KINDS["lpips"].run([first, tmp_path / "vgg.pth"], tmp_path / "ours")
    assert f"--config.vqgan.perceptual_weights={tmp_path / 'ours'}" in said
    jax.tree.map(np.testing.assert_array_equal, load_perceptual(tmp_path / "ours"), params)
    for changes, message in [
        ({"scaling_layer.shift": SHIFT + 1}, "LPIPS has .* it is another network"),
        ({"lin0.model.1.weight": np.ones((1, 32, 1, 1), np.float32)}, r"lin0.weight: \(32,\) instead of \(64,\)"),
    ]:  # fmt: skip
        second = write(tmp_path / "other.pth", heads | changes)
        with pytest.raises(CheckpointError, match=message):
            import_lpips(first, second)
    with pytest.raises(CheckpointError, match=r"features.0.bias: missing instead of \(64,\)"):
        import_lpips(second, second)
    with pytest.raises(CheckpointError, match="no checkpoint of taming's VQGAN. Of VGG16 give the heads too"):
        import_lpips(first, None)
