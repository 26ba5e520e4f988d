"""What can be imported as files of ours, by the name of whose it is."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping

from toto_jax.interop.dalle import LICENCE as DALLE_LICENCE
from toto_jax.interop.dalle import import_dalle
from toto_jax.interop.lpips import LICENCE as LPIPS_LICENCE
from toto_jax.interop.lpips import import_lpips
from toto_jax.interop.taming import LICENCE as TAMING_LICENCE
from toto_jax.interop.taming import import_taming
from toto_jax.tokenizers.base import Network
from toto_jax.tokenizers.loading import save_tokenizer
from toto_jax.tokenizers.perceptual import save_perceptual
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


def _lpips(files: list[pathlib.Path], out: pathlib.Path) -> str:
    save_perceptual(out, import_lpips(files[0], files[1] if len(files) > 1 else None))
    return (
        f"LPIPS in {out}; give it to the training of a VQGAN as --config.vqgan.perceptual_weight=1.0 "
        f"--config.vqgan.perceptual_weights={out}\nLicence: {LPIPS_LICENCE}"
    )


def _tokenizer(what: str, network: Network, params: Params, licence: str, out: pathlib.Path) -> str:
    spec = save_tokenizer(out, network, params, licence)
    return (
        f"A {what} of {spec.codebook_size:,} codes, {spec.downsampling} pixels wide each, in {out} "
        f"({spec.content_hash[:12]}); give it to a run as --config.tokenizer.path={out}\nLicence: {licence}"
    )


KINDS: Mapping[str, Kind] = {
    "dalle-dvae": Kind(("encoder.pkl", "decoder.pkl"), _dalle),
    "taming-vqgan": Kind(("last.ckpt", "[model.yaml]"), _taming),
    "lpips": Kind(("vgg16.pth (or a last.ckpt)", "[vgg.pth]"), _lpips),
}
