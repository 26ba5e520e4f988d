"""A folder of shards as a person reads it: lines about what it holds, and a few clips to look at."""

import collections
import json
import pathlib
from collections.abc import Sequence

import numpy as np

from toto_jax.data.clip_record import ClipRecord
from toto_jax.data.job import LEDGER
from toto_jax.data.manifest import Manifest
from toto_jax.data.shard_reader import read_clips
from toto_jax.errors import ConfigError, DataError
from toto_jax.evaluation.pictures import Strip
from toto_jax.evaluation.reconstruction import reconstruct
from toto_jax.tokenizers.base import ENCODE_DTYPES
from toto_jax.tokenizers.loading import SPEC_NAME, load_tokenizer

_FRAMES = 8
_REASONS = 5
_CLASSES = 10


def describe(folder: pathlib.Path, manifest: Manifest, index: Sequence[ClipRecord]) -> list[str]:
    """Returns lines about a folder whose bytes are as they were written."""
    spec, size = manifest.tokenizer, sum(shard.bytes for shard in manifest.shards)
    kinds = collections.Counter(record.kind for record in index)
    clips = ", ".join(f"{count:,} of {kind}s" for kind, count in sorted(kinds.items()))
    numbers = manifest.records * int(np.prod(manifest.shape))
    what = "pixels" if manifest.dtype == "uint8" else f"codes of {spec.codebook_size:,}"
    dtype = "" if manifest.dtype == "uint8" else f" in {spec.encode_dtype}"
    rate = f", {manifest.frames_per_second:.3g} frames a second" if manifest.frames_per_second else ""
    files = len({name for record in index for name in record.sources})
    lines = [
        f"{folder}: {manifest.records:,} clips ({clips}) from {files:,} files",
        f"  {' x '.join(map(str, manifest.shape))} {what}{rate}; {numbers:,} in all",
        f"  written by {spec.kind} {spec.content_hash[:12]}{dtype}; fingerprint {manifest.fingerprint[:12]}",
        f"  {len(manifest.shards)} shards, {size / 1e6:,.1f} MB, every byte as it was written",
    ]
    if manifest.class_names:
        labels = collections.Counter(record.label for record in index)
        shown = [f"{name} {labels[number]}" for number, name in enumerate(manifest.class_names[:_CLASSES])]
        more = ["..."] if len(manifest.class_names) > _CLASSES else []
        lines.append(f"  {len(manifest.class_names)} classes: {', '.join(shown + more)}")
    return lines + rejected(folder / LEDGER, manifest.rejected)


def rejected(ledger: pathlib.Path, count: int) -> list[str]:
    """Returns lines about the inputs that were passed over, the first few with their reasons."""
    if not count or not ledger.is_file():
        return [f"  {count} inputs were rejected"]
    entries = [json.loads(line) for line in ledger.read_text().splitlines()[:_REASONS]]
    more = [f"    and {count - _REASONS} more in {ledger}"] if count > _REASONS else []
    shown = [f"    {entry['source']}: {entry['reason']}" for entry in entries]
    return [f"  {count} inputs were rejected:", *shown, *more]


def decoded(
    folder: pathlib.Path,
    manifest: Manifest,
    index: Sequence[ClipRecord],
    clips: int,
    tokenizer: pathlib.Path | None,
) -> list[Strip]:
    """Returns a few clips as pixels, each under its file's name.

    Args:
      folder: of the shards.
      manifest: as read.
      index: a line for each clip.
      clips: how many at most, spread evenly.
      tokenizer: folder of the one that wrote them; None for that of the workdir that the shards lie in.

    Raises:
      ConfigError: if the tokenizer isn't found.
      DataError: if it is another than the one that wrote the codes, or there is no clip.
    """
    if not manifest.records:
        raise DataError(f"{folder} holds no clips")
    numbers = _spread(manifest, clips)
    pixels = read_clips(folder, manifest, numbers)
    if manifest.dtype != "uint8":
        path = tokenizer or _tokenizer_beside(folder)
        wrote = manifest.tokenizer.content_hash
        loaded = load_tokenizer(path, manifest.tokenizer.encode_dtype)
        if loaded.spec.content_hash != wrote:
            raise DataError(
                f"The tokenizer in {path} ({loaded.spec.content_hash[:12]}) is not the one that wrote {folder} "
                f"({wrote[:12]}); give that one as --tokenizer"
            )
        pixels = loaded.decode(pixels)
    frames = np.linspace(0, pixels.shape[1] - 1, min(_FRAMES, pixels.shape[1])).astype(int)
    names = [pathlib.PurePath(index[number].source).name[:32] for number in numbers]
    return [Strip(name, clip[frames]) for name, clip in zip(names, pixels, strict=True)]


def try_tokenizer(
    folder: pathlib.Path, manifest: Manifest, clips: int, tokenizer: pathlib.Path
) -> tuple[list[str], np.ndarray]:
    """Measures what is left of pixels after a tokenizer's codes, encoded in each dtype that there is.

    Args:
      folder: of shards of pixels.
      manifest: as read.
      clips: how many at most, spread evenly.
      tokenizer: folder of a saved one.

    Returns:
      Lines, and a sheet of frames beside what the first dtype's codes leave of them.

    Raises:
      ConfigError: if the frames are not a whole number of its codes.
      CheckpointError: if there is no tokenizer.
    """
    pixels_BFHWC = read_clips(folder, manifest, _spread(manifest, clips))
    lines, exact = [], None
    for dtype in ENCODE_DTYPES:
        loaded = load_tokenizer(tokenizer, dtype)
        found = reconstruct(loaded, pixels_BFHWC)
        numbers = found.numbers
        line = (
            f"  {loaded.spec.kind} {loaded.spec.content_hash[:12]} in {dtype}: PSNR {numbers['psnr_db']:.2f} dB, "
            f"SSIM {numbers['ssim']:.4f}, {numbers['codes_used']:,.0f} of {loaded.spec.codebook_size:,} codes used "
            f"({numbers['percent_codes_used']:.1f}%), perplexity {numbers['code_perplexity']:,.1f}"
        )
        if exact is None:
            exact = found
        else:
            changed = 100 * (found.codes_MFhw != exact.codes_MFhw).mean()
            line += f", {changed:.2f}% of {exact.codes_MFhw.size:,} codes others than in {ENCODE_DTYPES[0]}"
        lines.append(line)
    return lines, exact.sheet(pixels_BFHWC)


def _spread(manifest: Manifest, clips: int) -> np.ndarray:
    return np.unique(np.linspace(0, manifest.records - 1, min(clips, manifest.records)).astype(int))


def _tokenizer_beside(folder: pathlib.Path) -> pathlib.Path:
    """Returns the tokenizer of the workdir that the folder lies in: <workdir>/shards/<source>/<split>."""
    for parent in folder.resolve().parents:
        if (parent / "tokenizer" / SPEC_NAME).is_file():
            return parent / "tokenizer"
    raise ConfigError(f"No tokenizer lies beside {folder}; name its folder with --tokenizer=...")
