"""Shards of made-up clips, written by the project's own writer, and the same codes as one flat file.

Shapes: N clips, F frames, h x w codes of a frame.
"""

import contextlib
import dataclasses
import pathlib
import shutil

import numpy as np

from toto_jax.data.clip_record import ClipRecord
from toto_jax.data.manifest import MANIFEST, Manifest, read_manifest
from toto_jax.data.shard_writer import ShardWriter
from toto_jax.tokenizers.base import TokenizerSpec
from toto_jax.video import ClipGeometry

SOURCE = "media"
FLAT = "codes.bin"
STILL = 0.7  # share of codes that stay from frame to frame; decides how well shards compress
_SHARDS = 4


def write_shards(folder: pathlib.Path, clips: int, geometry: ClipGeometry, codebook_size: int) -> int:
    """Writes `<folder>/media/{train,validation}` and `<folder>/codes.bin` (uint16, clip after clip).

    Returns:
      The sum of all codes of the training split.
    """
    rng = np.random.default_rng(0)
    codes_NFhw = rng.integers(
        0, codebook_size, (clips, geometry.frames, geometry.height, geometry.width), np.uint16
    )
    for frame in range(1, geometry.frames):
        still_Nhw = rng.random(codes_NFhw[:, frame].shape) < STILL
        codes_NFhw[:, frame] = np.where(still_Nhw, codes_NFhw[:, frame - 1], codes_NFhw[:, frame])
    _write_split(folder / SOURCE / "train", codes_NFhw, codebook_size)
    _write_split(folder / SOURCE / "validation", codes_NFhw[:1], codebook_size)
    codes_NFhw.tofile(folder / FLAT)
    return int(codes_NFhw.sum(dtype=np.int64))


def copy_shards(folder: pathlib.Path, source: str, count: int) -> None:
    """Writes `<folder>/<source>/train`: copies of the training split's shards in turn, as many as asked for."""
    origin, target = folder / SOURCE / "train", folder / source / "train"
    manifest = read_manifest(origin)
    target.mkdir(parents=True)
    for shard in manifest.shards:
        shutil.copyfile(origin / shard.index, target / shard.index)
    shards = []
    for number in range(count):
        shard = manifest.shards[number % len(manifest.shards)]
        shards.append(dataclasses.replace(shard, file=f"copy-{number:05d}.array_record"))
        shutil.copyfile(origin / shard.file, target / shards[-1].file)
    (target / MANIFEST).write_text(dataclasses.replace(manifest, shards=tuple(shards)).to_json())


def _write_split(folder: pathlib.Path, codes_NFhw: np.ndarray, codebook_size: int) -> None:
    units = []
    for number, part in enumerate(np.array_split(codes_NFhw, min(_SHARDS, len(codes_NFhw)))):
        with contextlib.closing(ShardWriter(folder, f"video-{number:05d}", "video")) as writer:
            for clip in part:
                writer.add(clip, ClipRecord("video", ("made up",), (None,), 0.0, 1.0, (), ()))
            units.append(writer.commit(digest=str(number)))
    spec = TokenizerSpec("dvae", codebook_size, 8, {}, "0" * 64)
    shards = tuple(unit.shard for unit in units)
    manifest = Manifest(spec, codes_NFhw.shape[1:], "uint16", 1.0, shards, (), 0, {})
    (folder / MANIFEST).write_text(manifest.to_json())
