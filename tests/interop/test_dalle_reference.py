"""DALL-E's modules, saved as the published files are, read without the package."""

import pathlib
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from toto_jax import load_tokenizer
from toto_jax.errors import CheckpointError
from toto_jax.interop.dalle import import_dalle
from toto_jax.tokenizers.dvae_network import map_pixels

pytestmark = pytest.mark.reference
torch = pytest.importorskip("torch", reason="the reference is written in PyTorch")
dall_e = pytest.importorskip(
    "dall_e", reason="the reference is OpenAI's package: pip install --no-deps DALL-E==0.1"
)


def save(folder: pathlib.Path, width: int, stem: int, blocks: int, zipped: bool) -> tuple[object, object]:
    torch.manual_seed(0)
    encoder = dall_e.Encoder(n_hid=width, n_blk_per_group=blocks, vocab_size=64)
    decoder = dall_e.Decoder(n_init=stem, n_hid=width, n_blk_per_group=blocks, vocab_size=64)
    for name, module in (("encoder", encoder), ("decoder", decoder)):
        torch.save(module, folder / f"{name}.pkl", _use_new_zipfile_serialization=zipped)
    return encoder, decoder


@pytest.mark.parametrize(("width", "stem", "blocks", "zipped"), [(8, 8, 2, True), (16, 24, 1, False)])
def test_modules_become_a_tokenizer(
    tmp_path: pathlib.Path, width: int, stem: int, blocks: int, zipped: bool
) -> None:
    """Through the command, in a process that can import neither torch nor dall_e."""
    encoder, decoder = save(tmp_path, width, stem, blocks, zipped)
    code = (
        "import sys\nfor name in ('torch', 'dall_e'): sys.modules[name] = None\n"
        "sys.argv = ['import_weights', 'dalle-dvae', *sys.argv[1:]]\n"
        "import runpy; runpy.run_module('toto_jax.interop.import_weights', run_name='__main__')"
    )
    arguments = [str(tmp_path / "encoder.pkl"), str(tmp_path / "decoder.pkl"), f"--out={tmp_path / 'ours'}"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "A dVAE of 64 codes, 8 pixels wide each" in done.stdout
    tokenizer = load_tokenizer(tmp_path / "ours")
    pixels = np.repeat(np.repeat(np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3)), 8, 1), 8, 2).astype(
        np.uint8
    )
    mapped = dall_e.map_pixels(torch.from_numpy(pixels / 255).float().permute(0, 3, 1, 2))
    with torch.no_grad():
        logits = encoder(mapped).permute(0, 2, 3, 1).numpy()
        one_hot = (
            torch.nn.functional.one_hot(torch.from_numpy(logits.argmax(-1)), 64).permute(0, 3, 1, 2).float()
        )
        maps = decoder(one_hot).permute(0, 2, 3, 1).numpy()
    ours, params = import_dalle(tmp_path / "encoder.pkl", tmp_path / "decoder.pkl")
    np.testing.assert_allclose(
        ours.encode_logits(params, map_pixels(jnp.asarray(pixels))), logits, atol=2e-5 * np.abs(logits).max()
    )
    np.testing.assert_array_equal(tokenizer.encode(pixels[None])[0], logits.argmax(-1))
    got = ours.decode_codes(params, jnp.asarray(logits.argmax(-1)))
    np.testing.assert_allclose(got, maps, atol=2e-5 * np.abs(maps).max())


def test_files_in_the_wrong_order_or_of_two_models_are_refused(tmp_path: pathlib.Path) -> None:
    save(tmp_path, 8, 8, 2, True)
    with pytest.raises(CheckpointError, match="give the encoder first, then the decoder"):
        import_dalle(tmp_path / "decoder.pkl", tmp_path / "encoder.pkl")
    (tmp_path / "wider").mkdir()
    save(tmp_path / "wider", 16, 8, 2, True)
    with pytest.raises(CheckpointError, match=r"(?s)decoder.*blocks\.group_1\.block_1\..*instead of"):
        import_dalle(tmp_path / "encoder.pkl", tmp_path / "wider/decoder.pkl")
