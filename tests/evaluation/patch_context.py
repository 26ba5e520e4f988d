"""A context for evaluators of models of patches: shards of rendered clips' pixels, and of made-up codes of them."""

import pathlib

import jax

from tests.data.whole_job import pretokenize
from tests.evaluation.toy_context import CODEBOOK, make_context
from toto_jax.data.clips import ClipsConfig
from toto_jax.data.config import DataConfig
from toto_jax.data.decoding import DecodingConfig
from toto_jax.evaluation.context import EvaluationContext, Split
from toto_jax.models.llama import Llama
from toto_jax.sharding.mesh import MeshConfig, make_mesh
from toto_jax.tasks.patches import PatchesConfig, PatchToCode, PatchToPatch
from toto_jax.tokenizers.base import TokenizerSpec
from toto_jax.video import ClipGeometry

GEOMETRY = ClipGeometry(4, 2, 2)
SIDE, SIZE = 8, 16


class Greys:
    """Codes are the brightness of one of 8 x 8 pixels."""

    spec = TokenizerSpec("dvae", CODEBOOK, SIDE, {}, "g" * 64)

    def encode(self, video_BFHWC):
        return video_BFHWC[:, :, 4::8, 4::8, 1].astype("int32") * CODEBOOK // 256


DATA = DataConfig(
    media="synthetic", layout="files", annotations=(), labels="layout", shards="", paired="", mixture={"toy": 1},
    window=0, wait_seconds=1.0, other_shapes=(), workers=0, prefetch=2,
)  # fmt: skip


def make_patch_context(root: pathlib.Path, codes: bool = False) -> EvaluationContext:
    clips = ClipsConfig(
        size=SIZE, frames=4, stride=1, per_video=1, every_seconds=0.0, validation_percent=25.0, files_per_shard=20,
        encode_batch=8, max_pixels=10**6, max_frames=1000, synthetic_clips=120,
    )  # fmt: skip
    for name, tokenizer in {"pixels": None, **({"codes": Greys()} if codes else {})}.items():
        pretokenize(DATA, clips, DecodingConfig(1, 4.0, 60.0, 0.1), tokenizer, root / name / "toy", 0)
    toto = make_context(root / "tokens")
    decoder, config = Llama(toto.task.decoder.config, 0), PatchesConfig(SIDE, 2)
    task = PatchToCode(decoder, GEOMETRY, config, 24) if codes else PatchToPatch(decoder, GEOMETRY, config)
    paired = {
        split: Split(root / "codes" / "toy" / split) if codes else None for split in ("train", "validation")
    }
    return EvaluationContext(
        task=task,
        mesh=make_mesh(MeshConfig(1, 1, -1, 1, 1), jax.devices()[:1]),
        seed=0,
        geometry=GEOMETRY,
        codebook_size=CODEBOOK,
        splits={
            "toy": {split: Split(root / "pixels" / "toy" / split, other) for split, other in paired.items()}
        },
        load_tokenizer=toto.load_tokenizer,
        tokenizer_of=toto.tokenizer_of,
    )
