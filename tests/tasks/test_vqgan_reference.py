"""Losses and gradients of VQGAN's own code, its two passes beside our one."""

import dataclasses
import pathlib
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.interop import taming_model
from tests.interop.taming_model import as_theirs, check_gradients, random_pixels, torch
from tests.interop.test_lpips_reference import save
from toto_jax.interop.conversion import convert
from toto_jax.interop.lpips import import_lpips
from toto_jax.interop.taming import infer_config, their_name
from toto_jax.models.functional import Functional
from toto_jax.tasks.vqgan import VQGANTask, VQGANTaskConfig
from toto_jax.tokenizers.discriminator import Discriminator
from toto_jax.tokenizers.vqgan import VQGAN

pytestmark = pytest.mark.reference
LAYERS, WIDTH, START = 2, 8, 100
CONFIG = VQGANTaskConfig(
    commitment_weight=1.0, codebook_weight=0.25, codebook="learned", codebook_decay=0.9, restart_below=0.0,
    entropy_weight=0.0, diversity_weight=0.0, entropy_temperature=1.0, adversarial_weight=0.8,
    adversarial_start=START, discriminator_start=START, discriminator_width=WIDTH, discriminator_layers=LAYERS,
    perceptual_weight=0.0, perceptual_weights="", flip=False,
)  # fmt: skip


def name_in_discriminator(ours: str) -> str:
    """Returns `main.5.weight` for `conv_2/kernel`: convolution, norm and activation stand in one row."""
    module, leaf = ours.split("/")
    kind, layer = re.fullmatch(r"(conv|norm|output)_?(\d*)", module).groups()
    place = (
        0
        if module == "conv_0"
        else 2 + 3 * (LAYERS if kind == "output" else int(layer) - 1) + (kind == "norm")
    )
    return f"main.{place}.{'bias' if leaf == 'bias' else 'weight'}"


def arrays(module: Any) -> dict[str, np.ndarray]:
    return {name: parameter.detach().numpy() for name, parameter in module.named_parameters()}


@pytest.mark.parametrize(("step", "weight"), [(START - 1, 0.0), (START, 0.0), (START, 1.5)])
def test_losses_and_gradients_are_theirs(step: int, weight: float, tmp_path: pathlib.Path) -> None:
    theirs = taming_model.model()
    criterion = taming_model.losses().VQLPIPSWithDiscriminator(
        disc_start=START, disc_num_layers=LAYERS, disc_ndf=WIDTH, disc_weight=0.8, perceptual_weight=weight
    )
    with torch.no_grad():
        for parameter in criterion.discriminator.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    network = VQGAN(infer_config(arrays(theirs), "the model"))
    judge = Functional(lambda rngs: Discriminator(WIDTH, LAYERS, rngs))
    params = {
        "tokenizer": convert(
            jax.eval_shape(network.init, jax.random.key(0)),
            arrays(theirs),
            their_name,
            "The model is not a VQGAN",
        ),
        "discriminator": convert(
            jax.eval_shape(judge.init, jax.random.key(0)),
            arrays(criterion.discriminator),
            name_in_discriminator,
            "The criterion has no such discriminator",
        ),
    }
    config = dataclasses.replace(CONFIG, perceptual_weight=weight, perceptual_weights="as below")
    if weight:
        from tests.interop.taming_lpips import lpips

        criterion.perceptual_loss = lpips()
        params["perceptual"] = import_lpips(*save(criterion.perceptual_loss, tmp_path, whole=True))
    pixels = random_pixels()
    task = VQGANTask(network, config, frames=1, size=16)
    ours = jax.jit(jax.grad(task.loss, has_aux=True))
    grads, metrics = ours(
        params, {"pixels": jnp.asarray(pixels[:, None])}, jax.random.key(0), jnp.int32(step)
    )
    shown = {name: float(total / count) for name, (total, count) in metrics.items()}

    x = as_theirs(pixels)
    quantized, codebook_loss, _ = theirs.quantize(theirs.quant_conv(theirs.encoder(x)))
    pictures = theirs.decoder(theirs.post_quant_conv(quantized))
    criterion.discriminator.train()
    loss, log = criterion(codebook_loss, x, pictures, 0, step, last_layer=theirs.decoder.conv_out.weight)
    own, _ = criterion(codebook_loss, x, pictures, 1, step)
    shown["nll"] = shown["reconstruction"] + weight * shown.get("perceptual", 0)
    for name, wanted in (
        ("loss", loss), ("nll", log["train/nll_loss"]), ("adversarial", log["train/g_loss"]),
        ("adaptive_weight", log["train/d_weight"]), ("discriminator", own),
    ):  # fmt: skip
        assert shown[name] == pytest.approx(float(wanted.detach()), rel=1e-4, abs=1e-6), name
    loss.backward(retain_graph=True)
    check_gradients(grads["tokenizer"], theirs)
    criterion.discriminator.zero_grad()
    own.backward()
    if weight:
        assert shown["perceptual"] == pytest.approx(float(log["train/p_loss"]), rel=1e-4)
        assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(grads["perceptual"]))
    check_gradients(grads["discriminator"], criterion.discriminator, name_in_discriminator)
