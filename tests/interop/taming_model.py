"""The published code of VQGAN as a narrow model with random weights, and its names of our parameters."""

import sys
import types
from typing import Any

import jax
import numpy as np
import pytest

from toto_jax.interop.taming import their_name
from toto_jax.tree import named_leaves

torch = pytest.importorskip("torch", reason="the reference is written in PyTorch")
pytest.importorskip(
    "taming", reason="the reference is VQGAN's own package: pip install --no-deps taming-transformers==0.0.1"
)
DDCONFIG = {
    "double_z": False, "z_channels": 12, "resolution": 16, "in_channels": 3, "out_ch": 3, "ch": 32,
    "ch_mult": [1, 1, 2], "num_res_blocks": 2, "attn_resolutions": [4, 8], "dropout": 0.0,
}  # fmt: skip
N_EMBED, EMBED_DIM = 24, 6


def losses() -> Any:
    """Returns the package's module of losses; the perceptual one, which wants torchvision's weights, is never made."""
    sys.modules.setdefault("torchvision", types.SimpleNamespace(models=None))
    from taming.modules.losses import vqperceptual

    vqperceptual.LPIPS = torch.nn.Identity
    return vqperceptual


def model(seed: int = 0) -> Any:
    """Returns encoder, decoder and quantizer as `taming.models.vqgan.VQModel` names them."""
    from taming.modules.diffusionmodules.model import Decoder, Encoder
    from taming.modules.vqvae.quantize import VectorQuantizer

    torch.manual_seed(seed)
    whole = torch.nn.Module()
    whole.encoder, whole.decoder = Encoder(**DDCONFIG), Decoder(**DDCONFIG)
    whole.quantize = VectorQuantizer(N_EMBED, EMBED_DIM, beta=0.25)
    whole.quant_conv = torch.nn.Conv2d(DDCONFIG["z_channels"], EMBED_DIM, 1)
    whole.post_quant_conv = torch.nn.Conv2d(EMBED_DIM, DDCONFIG["z_channels"], 1)
    with torch.no_grad():
        # Gains that are all one would hide that they are swapped; codes as far apart as what is compared with them.
        for name, parameter in whole.named_parameters():
            if "norm" in name:
                parameter.add_(0.2 * torch.randn_like(parameter))
        whole.quantize.embedding.weight.copy_(0.5 * torch.randn(N_EMBED, EMBED_DIM))
    return whole.eval()


def as_theirs(pixels: np.ndarray) -> Any:
    return torch.from_numpy(pixels / 127.5 - 1).float().permute(0, 3, 1, 2)


def as_ours(tensor: Any) -> np.ndarray:
    return tensor.detach().permute(0, 2, 3, 1).numpy()


def check_gradients(ours: Any, module: Any, their_name: Any = their_name, tolerance: float = 2e-4) -> None:
    """Compares a tree of ours with the gradients of a module's parameters, relative to each one's largest."""
    found = {name: parameter.grad for name, parameter in module.named_parameters()}
    leaves = named_leaves(ours)
    assert {their_name(name) for name in leaves} == set(found)
    for name, leaf in leaves.items():
        wanted = found[their_name(name)].numpy()
        wanted = wanted.transpose(2, 3, 1, 0) if wanted.ndim == 4 else wanted
        np.testing.assert_allclose(leaf, wanted, atol=tolerance * np.abs(wanted).max() + 1e-7, err_msg=name)


def random_pixels(seed: int = 0, frames: int = 3) -> np.ndarray:
    """Returns frames of 16 x 16 pixels with some structure."""
    coarse = np.random.default_rng(seed).integers(0, 256, (frames, 4, 4, 3))
    return np.asarray(jax.image.resize(coarse, (frames, 16, 16, 3), "linear")).astype(np.uint8)
