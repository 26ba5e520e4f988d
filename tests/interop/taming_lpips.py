"""The perceptual loss of VQGAN's package with random weights; torchvision, whose VGG16 it wants, is not needed."""

import sys
import types
from typing import Any

import torch

# Of VGG16; "M" is a pooling layer.
LAYERS = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")


def vgg16_features() -> Any:
    """Returns the convolutions of VGG16 (1409.1556, configuration D) in torchvision's order."""
    layers, channels = [], 3
    for out in LAYERS:
        if out == "M":
            layers.append(torch.nn.MaxPool2d(2, 2))
        else:
            layers += [torch.nn.Conv2d(channels, out, 3, padding=1), torch.nn.ReLU(inplace=True)]
            torch.nn.init.kaiming_normal_(layers[-2].weight)
            torch.nn.init.normal_(layers[-2].bias, std=0.1)
            channels = out
    return torch.nn.Sequential(*layers)


def lpips(seed: int = 0) -> Any:
    """Returns the package's own module."""
    sys.modules.setdefault("torchvision", types.SimpleNamespace(models=None))
    from taming.modules.losses import lpips as module

    module.models = types.SimpleNamespace(
        vgg16=lambda pretrained: types.SimpleNamespace(features=vgg16_features())
    )
    module.LPIPS.load_from_pretrained = lambda self: None
    torch.manual_seed(seed)
    found = module.LPIPS().eval()
    with torch.no_grad():
        for number in range(5):
            getattr(found, f"lin{number}").model[1].weight.uniform_(0, 0.2)
    return found
