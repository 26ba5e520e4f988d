"""Other people's weights as ours: no PyTorch needed, and nothing in their files is run.

python -m toto_jax.interop.import_weights dalle-dvae encoder.pkl decoder.pkl --out=tokenizers/dalle
python -m toto_jax.interop.import_weights taming-vqgan last.ckpt model.yaml --out=tokenizers/vqgan
python -m toto_jax.interop.import_weights lpips vgg16.pth vgg.pth --out=tokenizers/lpips
python -m toto_jax.interop.import_weights hf-llama exported --out=runs/again --tokenizer=runs/quickstart/tokenizer
python -m toto_jax.interop.import_weights hf-mamba folder --out=runs/mamba --tokenizer=... --config=configs/base.py ...
"""

import functools
import pathlib

from absl import flags
from ml_collections import config_flags

from toto_jax.command_line import run_command
from toto_jax.errors import CheckpointError, ConfigError, nearest
from toto_jax.interop.hf_folder import RUN
from toto_jax.interop.hf_run import READERS, Given, import_model
from toto_jax.interop.kinds import KINDS, Kind
from toto_jax.pretrained import save_pretrained
from toto_jax.settings import parse

_OUT = flags.DEFINE_string("out", None, "Folder to write.", required=True)
_TOKENIZER = flags.DEFINE_string("tokenizer", None, "hf-...: folder of the tokenizer of the model's codes.")
_FRAMES = flags.DEFINE_integer("frames", None, "hf-... of others: frames of a clip.")
_SIZE = flags.DEFINE_integer("size", None, "hf-... of others: pixels of a frame's side.")
_CONFIG = config_flags.DEFINE_config_file("config", None, "hf-... of others: what training would go on with.")


def _model(decoder: str, files: list[pathlib.Path], out: pathlib.Path) -> str:
    tokenizer = None if _TOKENIZER.value is None else pathlib.Path(_TOKENIZER.value)
    if _CONFIG.value is not None:
        parse(_CONFIG.value)
    run = import_model(decoder, files[0], tokenizer, Given(_CONFIG.value, _FRAMES.value, _SIZE.value))
    if _CONFIG.value is None:
        try:
            parse(run.config)
        except ConfigError as error:
            raise CheckpointError(f"{files[0] / RUN} is of another version, or damaged: {error}") from error
    save_pretrained(out, run.config, run.params, tokenizer, run.step)
    return f"Step {run.step} of {run.config.name!r} in {out}: toto_jax.from_pretrained({str(out)!r}) loads it"


ALL = {**KINDS, **{f"hf-{kind}": Kind(("folder",), functools.partial(_model, kind)) for kind in READERS}}


def import_weights(words: list[str]) -> None:
    """Reads KIND and its files from the command line and writes what they hold in our own format."""
    usage = "; ".join(f"{name} {' '.join(kind.files)}" for name, kind in ALL.items())
    if not words:
        raise ConfigError(f"Say what to import: {usage}")
    if words[0] not in ALL:
        raise ConfigError(f"Nothing called {words[0]!r} can be imported; {nearest(words[0], ALL)}")
    kind, files = ALL[words[0]], [pathlib.Path(word) for word in words[1:]]
    least = sum(not name.startswith("[") for name in kind.files)
    if not least <= len(files) <= len(kind.files):
        raise ConfigError(f"{words[0]} takes {' '.join(kind.files)}, got {len(files)} file(s)")
    print(kind.run(files, pathlib.Path(_OUT.value)))


if __name__ == "__main__":
    run_command(import_weights)
