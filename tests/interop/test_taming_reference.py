"""Checkpoints of VQGAN's own code: what it computes and what we make of them."""

import pathlib
import subprocess
import sys
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import yaml

from tests.interop.taming_model import (
    DDCONFIG,
    EMBED_DIM,
    N_EMBED,
    as_ours,
    as_theirs,
    model,
    random_pixels,
    torch,
)
from toto_jax import load_tokenizer
from toto_jax.errors import CheckpointError
from toto_jax.interop.taming import import_taming
from toto_jax.tokenizers.vqgan import to_unit_range

pytestmark = pytest.mark.reference


def save(folder: pathlib.Path, zipped: bool = True) -> tuple[Any, pathlib.Path, pathlib.Path]:
    """Writes a Lightning checkpoint and its YAML."""
    theirs = model()
    state = {**theirs.state_dict(), "loss.discriminator.main.0.weight": torch.zeros(2, 3, 4, 4)}
    whole = {"epoch": 3, "global_step": 7, "state_dict": state, "callbacks": {}, "optimizer_states": []}
    torch.save(whole, folder / "last.ckpt", _use_new_zipfile_serialization=zipped)
    params = {"embed_dim": EMBED_DIM, "n_embed": N_EMBED, "ddconfig": DDCONFIG}
    (folder / "model.yaml").write_text(yaml.safe_dump({"model": {"params": params}}))
    return theirs, folder / "last.ckpt", folder / "model.yaml"


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_latents_codes_and_pictures_are_theirs(tmp_path: pathlib.Path, zipped: bool) -> None:
    theirs, checkpoint, settings = save(tmp_path, zipped)
    network, params = import_taming(checkpoint, settings)
    pixels = random_pixels()
    with torch.no_grad():
        z = theirs.quant_conv(theirs.encoder(as_theirs(pixels)))
        quantized, _, (_, _, codes) = theirs.quantize(z)
        pictures = theirs.decoder(theirs.post_quant_conv(quantized))
    found = network.encode(params, to_unit_range(jnp.asarray(pixels)))
    np.testing.assert_allclose(found, as_ours(z), atol=2e-5 * float(z.abs().max()))
    ours = network.quantize(params, found)
    codes = codes.numpy().reshape(ours.codes_Nhw.shape)
    assert len(np.unique(codes)) > 5
    np.testing.assert_array_equal(ours.codes_Nhw, codes)
    painted = network.paint(params, network.features(params, ours.vectors_NhwE))
    np.testing.assert_allclose(painted, as_ours(pictures), atol=2e-5 * float(pictures.abs().max()))


def test_the_command_makes_a_tokenizer_without_torch(tmp_path: pathlib.Path) -> None:
    theirs, checkpoint, settings = save(tmp_path)
    code = (
        "import sys\nfor name in ('torch', 'taming'): sys.modules[name] = None\n"
        "import runpy; runpy.run_module('toto_jax.interop.import_weights', run_name='__main__', alter_sys=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "taming-vqgan", checkpoint, settings, f"--out={tmp_path / 'ours'}"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "A VQGAN of 24 codes, 4 pixels wide each" in done.stdout
    assert "MIT" in done.stdout
    tokenizer = load_tokenizer(tmp_path / "ours")
    pixels = random_pixels()
    with torch.no_grad():
        z = theirs.quant_conv(theirs.encoder(as_theirs(pixels)))
        codes = theirs.quantize(z)[2][2].numpy().reshape(1, 3, 4, 4)
    np.testing.assert_array_equal(tokenizer.encode(pixels[None]), codes)


def test_settings_of_another_model_are_refused(tmp_path: pathlib.Path) -> None:
    _, checkpoint, settings = save(tmp_path)
    text = settings.read_text()
    settings.write_text(text.replace(f"n_embed: {N_EMBED}", "n_embed: 1024"))
    with pytest.raises(CheckpointError, match="n_embed is 1024 there and 24 here"):
        import_taming(checkpoint, settings)
    settings.write_text("model: nothing")
    with pytest.raises(CheckpointError, match="is not the YAML of a VQGAN"):
        import_taming(checkpoint, settings)
    assert import_taming(checkpoint, None)[0].config.attention == (1, 2)
