"""How much of a frame survives its codes: PSNR, SSIM, how the codebook is used, and reconstructions to look at.

Shapes: M clips, F frames, H x W pixels, C colours, h x w codes, K codes of the codebook.
"""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from toto_jax.errors import ConfigError
from toto_jax.evaluation.context import EvaluationContext
from toto_jax.evaluation.image_quality import psnr, ssim
from toto_jax.evaluation.pictures import Strip, contact_sheet
from toto_jax.evaluation.results import Picture, Result
from toto_jax.tokenizers.base import Tokenizer
from toto_jax.tree import Params

# Frames of a sheet, and how many pixels wide small ones are shown at least.
_SHOWN, _SIDE = 8, 96


@dataclasses.dataclass(frozen=True)
class ReconstructionConfig:
    """Attributes:
    clips: held-out clips of pixels, at most.
    """

    clips: int

    def __post_init__(self) -> None:
        if self.clips < 1:
            raise ConfigError(f"A reconstruction needs clips of 1 or more, got {self.clips}")


class Reconstruction:
    """Encodes held-out clips and decodes them again, as shards and roll-outs will."""

    def __init__(self, config: ReconstructionConfig, context: EvaluationContext):
        self._config = config
        self._context = context

    def run(self, params: Params) -> Iterator[tuple[str, Result]]:
        """Yields `psnr_db`, `ssim`, `codes_used` and `percent_codes_used` (that occur at all), `code_perplexity` (the
        exponential of the entropy of code frequencies: how many codes it would take, used equally often), and
        a picture."""
        tokenizer = self._context.tokenizer_of(params)
        clips_MFHWC, _ = self._context.only_source()["validation"].read(self._config.clips)
        found = reconstruct(tokenizer, clips_MFHWC)
        yield from found.numbers.items()
        caption = (
            f"Held-out frames above what is left of them after {found.codes_MFhw[0, 0].size} codes each."
        )
        yield "reconstructions", Picture(found.sheet(clips_MFHWC), caption)


@dataclasses.dataclass(frozen=True)
class Reconstructed:
    """Attributes:
    numbers: as `Reconstruction.run` yields them.
    codes_MFhw: of the clips.
    decoded_MFHWC: what is left of them.
    """

    numbers: Mapping[str, float]
    codes_MFhw: np.ndarray
    decoded_MFHWC: np.ndarray

    def sheet(self, clips_MFHWC: np.ndarray) -> np.ndarray:
        """Returns pixels_HWC: some frames of all clips above what is left of them."""
        originals, decoded = (
            pixels.reshape(-1, *pixels.shape[2:]) for pixels in (clips_MFHWC, self.decoded_MFHWC)
        )
        chosen = np.linspace(0, len(originals) - 1, min(_SHOWN, len(originals))).astype(int)
        strips = [Strip("original", originals[chosen]), Strip("decoded", decoded[chosen], 0)]
        return contact_sheet(strips, scale=max(1, _SIDE // clips_MFHWC.shape[2]))


def reconstruct(tokenizer: Tokenizer, clips_MFHWC: np.ndarray) -> Reconstructed:
    """Encodes uint8 clips, decodes them again, and measures what is left."""
    codes_MFhw = tokenizer.encode(clips_MFHWC)
    decoded_MFHWC = tokenizer.decode(codes_MFhw)
    counts_K = np.bincount(codes_MFhw.reshape(-1), minlength=tokenizer.spec.codebook_size)
    p_K = counts_K[counts_K > 0] / counts_K.sum()
    numbers = {
        "psnr_db": psnr(clips_MFHWC, decoded_MFHWC),
        "ssim": ssim(clips_MFHWC, decoded_MFHWC),
        "codes_used": float(len(p_K)),
        "percent_codes_used": 100 * len(p_K) / len(counts_K),
        "code_perplexity": float(np.exp(-(p_K * np.log(p_K)).sum())),
    }
    return Reconstructed(numbers, codes_MFhw, decoded_MFHWC)
