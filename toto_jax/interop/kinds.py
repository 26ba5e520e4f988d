"""What can be imported as files of ours, by the name of whose it is."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping

from toto_jax.interop.dalle import LICENCE as DALLE_LICENCE
from toto_jax.interop.dalle import import_dalle
from toto_jax.interop.taming import LICENCE as TAMING_LICENCE
from toto_jax.interop.taming import import_taming
from toto_jax.tokenizers.base import Network
from toto_jax.tokenizers.loading import save_tokenizer
from toto_jax.tree import Params


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
