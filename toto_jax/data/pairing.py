"""Two folders of shards of the very same clips, one of pixels and one of codes.

Shards written from the same media with the same config.clips and seed hold the same clips in the same order, whatever
encodes them.
"""

import itertools
import pathlib
from collections.abc import Iterator
from typing import Any

from toto_jax.config import differences
from toto_jax.data.manifest import Manifest
from toto_jax.errors import DataError

_ADVICE = (
    "pair shards written from the same media with the same config.clips, config.data.labels and config.seed"
)


def check_paired(
    folder: pathlib.Path, manifest: Manifest, paired_folder: pathlib.Path, paired_manifest: Manifest
) -> None:
    """Checks that two folders hold the same clips in the same order.

    What both were made from must be equal, and so must the sidecars' lines on each clip.

    Args:
      folder: of the one.
      manifest: as read.
      paired_folder: of the other.
      paired_manifest: as read.

    Raises:
      DataError: naming what differs, or the first clip that does.
    """
    changed = differences(_origin(manifest), _origin(paired_manifest))
    if changed:
        lines = "".join(f"\n  {line}" for line in changed)
        raise DataError(
            f"{folder} and {paired_folder} should hold the same clips, but were made from other inputs or "
            f"settings:{lines}\n{_ADVICE}"
        )
    if manifest.records != paired_manifest.records:
        raise DataError(
            f"{folder} holds {manifest.records:,} clips and {paired_folder} {paired_manifest.records:,}, which should "
            f"be the same ones; {_ADVICE}"
        )
    lines = zip(_lines(folder, manifest), _lines(paired_folder, paired_manifest), strict=True)
    for number, (mine, theirs) in enumerate(lines):
        if mine != theirs:
            raise DataError(
                f"Clip {number} of {folder} is not that of {paired_folder}:\n  {mine}\n  {theirs}\n{_ADVICE}"
            )


def _origin(manifest: Manifest) -> dict[str, Any]:
    """Returns all that a folder's clips were made from, without what encodes and groups them."""
    settings = {key: value for key, value in manifest.settings.items() if key != "tokenizer"}
    clips = settings.get("clips", {})
    grouping = ("encode_batch", "files_per_shard")
    return {**settings, "clips": {key: value for key, value in clips.items() if key not in grouping}}


def _lines(folder: pathlib.Path, manifest: Manifest) -> Iterator[str]:
    """Yields a line for each clip, as it was written: comparing text is much quicker than reading it as JSON."""
    for shard in manifest.shards:
        path = folder / shard.index
        try:
            with path.open() as file:
                # The header is about the shard.
                lines = [line.rstrip("\n") for line in itertools.islice(file, 1, None)]
        except OSError as error:
            raise DataError(f"{path} can't be read: {error}") from error
        if len(lines) != shard.records:
            raise DataError(f"{path} has {len(lines)} lines for {shard.records} clips; write the shard anew")
        yield from lines
