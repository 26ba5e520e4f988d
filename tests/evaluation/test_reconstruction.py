import math
import pathlib

import numpy as np
import pytest

from tests.evaluation.toy_context import CODEBOOK, make_context
from toto_jax.data.clip_record import ClipRecord
from toto_jax.data.manifest import MANIFEST, Manifest
from toto_jax.data.shard_writer import ShardWriter
from toto_jax.errors import ConfigError
from toto_jax.evaluation.context import EvaluationContext, Split
from toto_jax.evaluation.reconstruction import Reconstruction, ReconstructionConfig
from toto_jax.evaluation.results import Picture
from toto_jax.tokenizers.base import TokenizerSpec


class GreyTokenizer:
    """The code of a 4 x 4 square is its mean grey in steps of 12."""

    spec = TokenizerSpec("dvae", CODEBOOK, 4, {}, "c" * 64)

    def encode(self, video_BFHWC: np.ndarray) -> np.ndarray:
        batch, frames, height, width, _ = video_BFHWC.shape
        squares = video_BFHWC.reshape(batch, frames, height // 4, 4, width // 4, 4, 3).mean((3, 5, 6))
        return np.minimum(squares // 12, CODEBOOK - 1).astype(np.int32)

    def decode(self, codes_BFhw: np.ndarray) -> np.ndarray:
        grey = np.repeat((codes_BFhw * 12).astype(np.uint8)[..., None], 3, -1)
        return grey.repeat(4, axis=2).repeat(4, axis=3)


@pytest.fixture
def context(tmp_path: pathlib.Path) -> EvaluationContext:
    """Held-out clips of flat greys 0, 12 + 3 and 24 + 3: codes 0, 1 and 2, errors 0, 3 and 3."""
    made = make_context(tmp_path)
    folder = tmp_path / "pixels" / "validation"
    folder.mkdir(parents=True)
    writer = ShardWriter(folder, "video-00000", "video")
    for grey in (0, 15, 27):
        record = ClipRecord("video", (str(grey),), (None,), 0.0, 8.0, (0, 1), ((0, 0),))
        writer.add(np.full((2, 8, 8, 3), grey, np.uint8), record)
    shard = writer.commit("digest").shard
    spec = TokenizerSpec("pixels", 256, 1, {}, "p" * 64)
    (folder / MANIFEST).write_text(Manifest(spec, (2, 8, 8, 3), "uint8", 8.0, (shard,), (), 0, {}).to_json())
    made.splits["toy"]["validation"] = Split(folder)
    object.__setattr__(made, "tokenizer_of", lambda params: GreyTokenizer())
    return made


def test_numbers_by_hand(context: EvaluationContext) -> None:
    results = dict(Reconstruction(ReconstructionConfig(clips=8), context).run({}))
    assert results["psnr_db"] == pytest.approx(20 * math.log10(255 / math.sqrt((0 + 9 + 9) / 3)))
    assert results["codes_used"] == 3
    assert results["percent_codes_used"] == pytest.approx(100 * 3 / CODEBOOK)
    assert results["code_perplexity"] == pytest.approx(3)


def test_the_picture_shows_originals_above_what_is_left(context: EvaluationContext) -> None:
    picture = dict(Reconstruction(ReconstructionConfig(clips=8), context).run({}))["reconstructions"]
    assert isinstance(picture, Picture)
    assert picture.pixels_HWC.dtype == np.uint8
    height, width, _ = picture.pixels_HWC.shape
    assert height > 2 * 96
    assert width > 6 * 96
    assert "4 codes each" in picture.caption


def test_no_clips_is_an_error() -> None:
    with pytest.raises(ConfigError, match="clips of 1 or more"):
        ReconstructionConfig(clips=0)
