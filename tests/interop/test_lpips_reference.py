"""The perceptual loss of VQGAN's own code: its files, its values and its gradients."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.interop.taming_model import as_theirs, random_pixels, torch
from toto_jax.interop.lpips import import_lpips
from toto_jax.tokenizers.perceptual import perceptual
from toto_jax.tokenizers.vqgan import to_unit_range

pytestmark = pytest.mark.reference


def save(module: Any, folder: pathlib.Path, whole: bool) -> list[pathlib.Path | None]:
    """Writes a checkpoint of the whole VQGAN, or torchvision's file and the heads."""
    state = module.state_dict()
    if whole:
        named = {f"loss.perceptual_loss.{name}": value for name, value in state.items()}
        torch.save({"state_dict": named, "global_step": 1}, folder / "last.ckpt")
        return [folder / "last.ckpt", None]
    vgg = {
        f"features.{name.split('.', 2)[2]}": value for name, value in state.items() if name.startswith("net")
    }
    torch.save(vgg, folder / "vgg16.pth")
    torch.save({name: value for name, value in state.items() if name.startswith("lin")}, folder / "vgg.pth")
    return [folder / "vgg16.pth", folder / "vgg.pth"]


@pytest.mark.parametrize("whole", [True, False], ids=["a VQGAN's checkpoint", "VGG16 and the heads"])
def test_values_and_gradients_are_theirs(tmp_path: pathlib.Path, whole: bool) -> None:
    from tests.interop.taming_lpips import lpips

    theirs = lpips()
    params = import_lpips(*save(theirs, tmp_path, whole))
    x, y = random_pixels(0), random_pixels(1)

    @jax.jit
    def distance(x: jax.Array, y: jax.Array) -> jax.Array:
        network = perceptual().bind(params)
        return network.distance(network.features(x), network.features(y))

    picture = as_theirs(y).requires_grad_()
    wanted = theirs(as_theirs(x), picture)
    wanted.mean().backward()
    ours = to_unit_range(jnp.asarray(x)), to_unit_range(jnp.asarray(y))
    found = distance(*ours)
    np.testing.assert_allclose(found, wanted.detach().numpy().ravel(), rtol=1e-4)
    slope = jax.grad(lambda y: distance(ours[0], y).mean())(ours[1])
    expected = picture.grad.permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(slope, expected, atol=2e-4 * np.abs(expected).max())
