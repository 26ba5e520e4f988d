"""Other people's weights as ours: no PyTorch needed, and nothing in their files is run.

python -m toto_jax.interop.import_weights dalle-dvae encoder.pkl decoder.pkl --out=tokenizers/dalle
python -m toto_jax.interop.import_weights taming-vqgan last.ckpt model.yaml --out=tokenizers/vqgan
"""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping

from absl import flags

from toto_jax.command_line import run_command
from toto_jax.errors import ConfigError, nearest
from toto_jax.interop.dalle import LICENCE as DALLE_LICENCE
from toto_jax.interop.dalle import import_dalle
from toto_jax.interop.taming import LICENCE as TAMING_LICENCE
from toto_jax.interop.taming import import_taming
from toto_jax.tokenizers.base import Network
from toto_jax.tokenizers.loading import save_tokenizer
from toto_jax.tree import Params

_OUT = flags.DEFINE_string("out", None, "Folder to write.", required=True)


@dataclasses.dataclass(frozen=True)
class Kind:
    """Attributes:
    files: what its files are, in order; those in brackets may be left out.
    run: (files, folder to write) -> what was written, in a sentence.
    """

    files: tuple[str, ...]
    run: Callable[[list[pathlib.Path], pathlib.Path], str]


def _dalle(files: list[pathlib.Path], out: pathlib.Path) -> str:
    return _tokenizer("dVAE", *import_dalle(*files), DALLE_LICENCE, out)


def _taming(files: list[pathlib.Path], out: pathlib.Path) -> str:
    settings = files[1] if len(files) > 1 else None
    return _tokenizer("VQGAN", *import_taming(files[0], settings), TAMING_LICENCE, out)


def _tokenizer(what: str, network: Network, params: Params, licence: str, out: pathlib.Path) -> str:
    spec = save_tokenizer(out, network, params, licence)
    return (
        f"A {what} of {spec.codebook_size:,} codes, {spec.downsampling} pixels wide each, in {out} "
        f"({spec.content_hash[:12]}); give it to a run as --config.tokenizer.path={out}\nLicence: {licence}"
    )


KINDS: Mapping[str, Kind] = {
    "dalle-dvae": Kind(("encoder.pkl", "decoder.pkl"), _dalle),
    "taming-vqgan": Kind(("last.ckpt", "[model.yaml]"), _taming),
}


def import_weights(words: list[str]) -> None:
    """Reads KIND and its files from the command line and writes what they hold in our own format."""
    usage = "; ".join(f"{name} {' '.join(kind.files)}" for name, kind in KINDS.items())
    if not words:
        raise ConfigError(f"Say what to import: {usage}")
    if words[0] not in KINDS:
        raise ConfigError(f"Nothing called {words[0]!r} can be imported; {nearest(words[0], KINDS)}")
    kind, files = KINDS[words[0]], [pathlib.Path(word) for word in words[1:]]
    least = sum(not name.startswith("[") for name in kind.files)
    if not least <= len(files) <= len(kind.files):
        raise ConfigError(f"{words[0]} takes {' '.join(kind.files)}, got {len(files)} file(s)")
    print(kind.run(files, pathlib.Path(_OUT.value)))


if __name__ == "__main__":
    run_command(import_weights)
