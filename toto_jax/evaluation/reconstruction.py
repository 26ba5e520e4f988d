"""How much of a frame survives its codes: PSNR, SSIM, how the codebook is used, and reconstructions to look at.

Shapes: M clips, F frames, H x W pixels, C colours, h x w codes.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from toto_jax.errors import ConfigError
from toto_jax.evaluation.context import EvaluationContext
from toto_jax.evaluation.image_quality import psnr, ssim
from toto_jax.evaluation.pictures import Strip, contact_sheet
from toto_jax.evaluation.results import Picture, Result
from toto_jax.tree import Params

_SHOWN = 8


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
        codes_MFhw = tokenizer.encode(clips_MFHWC)
        decoded_MFHWC = tokenizer.decode(codes_MFhw)
        counts_K = np.bincount(codes_MFhw.reshape(-1), minlength=tokenizer.spec.codebook_size)
        p_K = counts_K[counts_K > 0] / counts_K.sum()
        yield "psnr_db", psnr(clips_MFHWC, decoded_MFHWC)
        yield "ssim", ssim(clips_MFHWC, decoded_MFHWC)
        yield "codes_used", float(len(p_K))
        yield "percent_codes_used", 100 * len(p_K) / len(counts_K)
        yield "code_perplexity", float(np.exp(-(p_K * np.log(p_K)).sum()))
        shown = min(_SHOWN, len(clips_MFHWC) * clips_MFHWC.shape[1])
        flat = (
            clips_MFHWC.reshape(-1, *clips_MFHWC.shape[2:]),
            decoded_MFHWC.reshape(-1, *clips_MFHWC.shape[2:]),
        )
        chosen = np.linspace(0, len(flat[0]) - 1, shown).astype(int)
        sheet = contact_sheet(
            [Strip("original", flat[0][chosen]), Strip("decoded", flat[1][chosen], 0)],
            scale=max(1, 96 // clips_MFHWC.shape[2]),
        )
        caption = f"Held-out frames above what is left of them after {codes_MFhw[0, 0].size} codes each."
        yield "reconstructions", Picture(sheet, caption)
