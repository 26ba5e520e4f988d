import pathlib
import subprocess
import sys

import jax
import pytest

from tests.interop.test_dalle import CONFIGS, write
from toto_jax import load_tokenizer
from toto_jax.interop.dalle import LICENCE
from toto_jax.tokenizers.dvae import DVAE
from toto_jax.tokenizers.frame_tokenizer import FrameTokenizer


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "toto_jax.interop.import_weights", *words]
    root = pathlib.Path(__file__).parents[2]
    return subprocess.run(command, capture_output=True, text=True, cwd=root)


def test_a_dvae_becomes_a_tokenizer_folder(tmp_path: pathlib.Path) -> None:
    params = DVAE(CONFIGS[1]).init(jax.random.key(0))
    encoder, decoder = write(tmp_path, params)
    done = run("dalle-dvae", str(encoder), str(decoder), f"--out={tmp_path / 'ours'}")
    assert done.returncode == 0, done.stderr
    wanted = FrameTokenizer(DVAE(CONFIGS[1]), params, LICENCE).spec
    assert load_tokenizer(tmp_path / "ours").spec == wanted
    assert (
        f"A dVAE of 16 codes, 2 pixels wide each, in {tmp_path / 'ours'} ({wanted.content_hash[:12]})"
        in done.stdout
    )


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 64, "Say what to import: dalle-dvae encoder.pkl decoder.pkl"),
        (["dall-dvae", "x"], 64, "'dall-dvae' can be imported; did you mean 'dalle-dvae'"),
        (["dalle-dvae", "encoder.pkl"], 64, r"takes encoder.pkl decoder.pkl, got 1 file(s)"),
        (["dalle-dvae", "nowhere.pkl", "decoder.pkl"], 66, "There is no file nowhere.pkl"),
    ],
)
def test_mistakes_are_one_message(tmp_path: pathlib.Path, words: list[str], code: int, message: str) -> None:
    done = run(*words, f"--out={tmp_path / 'out'}")
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
