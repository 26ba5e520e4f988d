"""The perceptual network LPIPS (1801.03924) from other people's files, as ours.

Theirs: `features.0.weight` in torchvision's VGG16 and `lin0.model.1.weight` in the heads (`vgg.pth` of LPIPS and of
taming-transformers); or, in a checkpoint of taming's VQGAN, `loss.perceptual_loss.net.slice1.0.weight` and
`loss.perceptual_loss.lin0.model.1.weight`. A slice keeps the numbers that its layers have in VGG16.
"""

import pathlib
import re

import numpy as np

from toto_jax.errors import CheckpointError
from toto_jax.interop.conversion import convert
from toto_jax.interop.torch_file import read_torch_file
from toto_jax.tokenizers.perceptual import GROUPS, SCALE, SHIFT, abstract
from toto_jax.tree import Params

LICENCE = (
    "BSD 2-Clause of richzhang/PerceptualSimilarity for the heads, BSD 3-Clause of torchvision for VGG16, which was "
    "trained on ImageNet and its labels: for research"
)
_IN_TAMING = "loss.perceptual_loss."
_CONSTANTS = {"scaling_layer.shift": SHIFT, "scaling_layer.scale": SCALE}


def import_lpips(vgg: str | pathlib.Path, heads: str | pathlib.Path | None) -> Params:
    """Returns the parameters of `tokenizers.perceptual`.

    Args:
      vgg: state dict of torchvision's VGG16; or a checkpoint of taming's VQGAN, which holds both.
      heads: state dict of the five heads; None for the second.

    Raises:
      CheckpointError: if a file can't be read, something is missing, or it is another network.
    """
    found = read_torch_file(vgg)
    nested = {_after(_IN_TAMING, name): array for name, array in found.items() if _IN_TAMING in name}
    if heads is None and not nested:
        raise CheckpointError(
            f"{vgg} has no {_IN_TAMING}*, so it is no checkpoint of taming's VQGAN. Of VGG16 give the heads too: "
            "vgg16.pth vgg.pth"
        )
    if heads is not None:
        nested = {**found, **read_torch_file(heads)}
    for name, wanted in _CONSTANTS.items():
        if name in nested and not np.allclose(nested[name].reshape(-1), wanted, atol=1e-6):
            raise CheckpointError(
                f"{name} is {nested[name].reshape(-1).tolist()}, and LPIPS has {list(wanted)}: it is another network"
            )
    tensors = {_plain(name): array for name, array in nested.items()}
    known = {
        name: array.reshape(-1) if name.startswith("lin") else array
        for name, array in tensors.items()
        if name is not None
    }
    return convert(abstract(), known, their_name, f"{vgg} is not VGG16 with the heads of LPIPS")


def their_name(ours: str) -> str:
    """Returns what `features.` and `lin` call one of our parameters: `conv_3_2/bias` -> `features.12.bias`."""
    module, *leaf = ours.split("/")
    kind, group, number = re.fullmatch(r"(conv|head)_(\d+)_?(\d*)", module).groups()
    if kind == "head":
        return f"lin{int(group) - 1}.weight"
    # A ReLU stands behind each convolution, and a pooling layer before each group but the first.
    before = sum(convolutions for _, convolutions in GROUPS[: int(group) - 1])
    place = 2 * (before + int(number) - 1) + int(group) - 1
    return f"features.{place}.{'weight' if leaf == ['kernel'] else 'bias'}"


def _after(prefix: str, name: str) -> str:
    return name[name.index(prefix) + len(prefix) :]


def _plain(name: str) -> str | None:
    """Returns `features.5.weight` and `lin0.weight` whoever's name it is; None for what LPIPS has no use for."""
    if found := re.fullmatch(r"(?:features|net\.slice\d)\.(\d+)\.(weight|bias)", name):
        return f"features.{found[1]}.{found[2]}"
    if found := re.fullmatch(r"lin(\d)\.model\.\d\.weight", name):
        return f"lin{found[1]}.weight"
    return None
