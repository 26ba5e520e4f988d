"""A context for evaluators: a tiny decoder and shards of made-up codes in which the class is plain to see."""

import pathlib

import jax
import numpy as np

from toto_jax.data.clip_record import ClipRecord
from toto_jax.data.manifest import MANIFEST, Manifest
from toto_jax.data.shard_writer import ShardWriter
from toto_jax.evaluation.context import EvaluationContext, Split
from toto_jax.models.llama import Llama, LlamaConfig
from toto_jax.sharding.mesh import MeshConfig, make_mesh
from toto_jax.tasks.next_token import NextToken, NextTokenConfig
from toto_jax.tokenizers.base import TokenizerSpec
from toto_jax.video import ClipGeometry, vocabulary_size

GEOMETRY = ClipGeometry(4, 2, 2)
CODEBOOK = 20
CLASSES = ("moving", "still")
SPEC = TokenizerSpec("dvae", CODEBOOK, 4, {}, "c" * 64)


class FlatTokenizer:
    """Paints each code as a 4 x 4 square of one grey."""

    spec = SPEC

    def decode(self, codes_BFhw: np.ndarray) -> np.ndarray:
        grey = (codes_BFhw * (255 // CODEBOOK)).astype(np.uint8)
        return np.repeat(np.repeat(np.repeat(grey[..., None], 3, -1), 4, axis=2), 4, axis=3)


def clip(label: int, rng: np.random.Generator) -> np.ndarray:
    """Codes (4, 2, 2): a still clip repeats its first frame, a moving one counts on from it."""
    first = rng.integers(0, CODEBOOK, (2, 2))
    return np.stack([(first + (frame if label == 0 else 0)) % CODEBOOK for frame in range(4)]).astype(
        np.uint16
    )


def write_split(folder: pathlib.Path, clips: int, seed: int, labelled: bool) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    writer = ShardWriter(folder, "video-00000", "video")
    for number in range(clips):
        label = number % 2
        record = ClipRecord(
            "video", (f"{number}",), (label if labelled else None,), 0.0, 8.0, (0, 1, 2, 3), ((0, 0),)
        )
        writer.add(clip(label, rng), record)
    shard = writer.commit("digest").shard
    names = CLASSES if labelled else ()
    (folder / MANIFEST).write_text(Manifest(SPEC, (4, 2, 2), "uint16", 8.0, (shard,), names, 0, {}).to_json())


def write_images(folder: pathlib.Path, rows: list[list[int]], labels: dict[int, int]) -> None:
    """Writes rows of four images; image n is all code n modulo the codebook, and has a class if `labels` has one."""
    folder.mkdir(parents=True)
    writer = ShardWriter(folder, "image-00000", "image")
    for row in rows:
        codes = np.repeat(np.array(row, np.uint16)[:, None] % CODEBOOK, 4, axis=1).reshape(4, 2, 2)
        sources, classes = tuple(map(str, row)), tuple(labels.get(image) for image in row)
        writer.add(codes, ClipRecord("image", sources, classes, None, None, (0,) * 4, ((0, 0),) * 4))
    shard = writer.commit("digest").shard
    manifest = Manifest(SPEC, (4, 2, 2), "uint16", None, (shard,), CLASSES, 0, {})
    (folder / MANIFEST).write_text(manifest.to_json())


def make_context(root: pathlib.Path, labelled: bool = True, devices: int = 1) -> EvaluationContext:
    for seed, (split, clips) in enumerate({"train": 64, "validation": 33}.items()):
        write_split(root / "toy" / split, clips, seed, labelled)
    config = LlamaConfig(
        layers=2, d_model=32, heads=2, kv_heads=2, head_dim=16, d_ff=64, rope_base=1e4,
        rope_grid=(), qk_norm=False, norm_eps=1e-6, init_std=0.1,
        tied_head=False, vocabulary_multiple=8, dtype="float32", attention="chunked", remat="none", scan_unroll=1,
    )  # fmt: skip
    decoder = Llama(config, vocabulary_size(CODEBOOK, 8))
    return EvaluationContext(
        task=NextToken(decoder, GEOMETRY, NextTokenConfig(end_token_loss=True, loss_chunks=2)),
        mesh=make_mesh(MeshConfig(1, 1, -1, 1, 1), jax.devices()[:devices]),
        seed=0,
        geometry=GEOMETRY,
        codebook_size=CODEBOOK,
        splits={"toy": {split: Split(root / "toy" / split) for split in ("train", "validation")}},
        load_tokenizer=FlatTokenizer,
        tokenizer_of=lambda params: FlatTokenizer(),
    )
