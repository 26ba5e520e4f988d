"""What a folder of shards holds: a manifest over its shards, and a line about every clip beside each of them.

A shard is an ArrayRecord file `<kind>-00000.array_record` whose records are a clip's codes (little-endian
uint16, F x h x w) or pixels (uint8, F x H x W x 3) and nothing else. Its sidecar `<kind>-00000.jsonl` has a
header line and then one line a record. `manifest.json` exists when all shards are complete.

Shapes: N clips, F frames, H x W pixels, h x w codes.
"""

import dataclasses
import hashlib
import json
import pathlib
from typing import Any

import numpy as np

from toto_jax.data.clip_record import ClipRecord
from toto_jax.data.staged import read_staged
from toto_jax.errors import ConfigError, DataError
from toto_jax.tokenizers.base import TokenizerSpec

FORMAT = 1
MANIFEST = "manifest.json"
RUN_AGAIN = "run toto_jax.pretokenize again with the same config: it keeps what is complete and adds the rest"
DTYPES = {"uint16": np.dtype("<u2"), "uint8": np.dtype("u1")}


@dataclasses.dataclass(frozen=True)
class Shard:
    """One file of clips.

    Attributes:
      file: its name within the folder.
      kind: "video" or "image": which start token its sequences get.
      records: clips in it.
      bytes: its size.
      sha256: of the file.
      index: name of its sidecar.
    """

    file: str
    kind: str
    records: int
    bytes: int
    sha256: str
    index: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """All that a reader needs to know of a folder of shards.

    Attributes:
      tokenizer: what made the codes; kind "pixels" if they are raw frames.
      shape: of a record: (F, h, w) for codes, (F, H, W, 3) for pixels.
      dtype: "uint16" or "uint8".
      frames_per_second: at which to play typical clips (a median); None if all are images.
      shards: in the order in which records are numbered.
      class_names: class number -> name; empty without labels.
      rejected: number of inputs that the ledger `rejected.jsonl` lists.
      settings: what the shards were made from and how.
    """

    tokenizer: TokenizerSpec
    shape: tuple[int, ...]
    dtype: str
    frames_per_second: float | None
    shards: tuple[Shard, ...]
    class_names: tuple[str, ...]
    rejected: int
    settings: dict[str, Any]

    @property
    def records(self) -> int:
        return sum(shard.records for shard in self.shards)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that determines the data: equal fingerprints, equal records in equal order."""
        names = [(shard.file, shard.kind, shard.sha256) for shard in self.shards]
        content = [FORMAT, self.tokenizer.content_hash, self.shape, self.dtype, names]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def to_json(self) -> str:
        values = dataclasses.asdict(self) | {"format": FORMAT, "fingerprint": self.fingerprint}
        return json.dumps(values, indent=2, sort_keys=True) + "\n"


def read_manifest(folder: pathlib.Path) -> Manifest:
    """Reads a folder's manifest and checks that its shards are there, by size; in a staged folder they come and go.

    Raises:
      DataError: if the manifest is missing, unreadable or altered, or a shard is missing or of another size.
    """
    folder = pathlib.Path(folder)
    path = folder / MANIFEST
    if not path.is_file():
        what = "is unfinished" if folder.is_dir() and any(folder.iterdir()) else "has no shards"
        raise DataError(f"{folder} {what}: it lacks {MANIFEST}; {RUN_AGAIN}")
    manifest = parse_manifest(path.read_text(), str(path))
    if read_staged(folder) is None:
        for shard in manifest.shards:
            _check_size(folder, shard)
    return manifest


def readable_manifest(folder: pathlib.Path) -> Manifest:
    """Returns a folder's manifest with the shards alone that can be read at any time: in a staged folder, those kept.

    Raises:
      DataError: as `read_manifest`.
    """
    manifest, staged = read_manifest(folder), read_staged(pathlib.Path(folder))
    if staged is None:
        return manifest
    return dataclasses.replace(
        manifest, shards=tuple(shard for shard in manifest.shards if shard.file in staged.kept)
    )


def parse_manifest(text: str, path: str) -> Manifest:
    """Reads a manifest's text; `path` is where it comes from, for errors.

    Raises:
      DataError: if it is unreadable or altered.
    """
    try:
        values = json.loads(text)
        version, fingerprint = values.pop("format"), values.pop("fingerprint")
        if version != FORMAT:
            raise DataError(
                f"{path} is of format {version}, but this version reads {FORMAT}; make the shards anew"
            )
        values["shards"] = tuple(Shard(**shard) for shard in values["shards"])
        values["tokenizer"] = TokenizerSpec.from_json(values["tokenizer"])
        values["shape"], values["class_names"] = tuple(values["shape"]), tuple(values["class_names"])
        manifest = Manifest(**values)
    except (ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
        raise DataError(f"{path} is damaged ({error!r}); delete it and {RUN_AGAIN}") from error
    if manifest.fingerprint != fingerprint:
        raise DataError(
            f"{path} was altered: its fingerprint is not that of its shards; delete it and {RUN_AGAIN}"
        )
    return manifest


def verify(folder: pathlib.Path) -> Manifest:
    """Reads the manifest, and every byte of every shard.

    Raises:
      DataError: as `read_manifest`, and if a shard's content is not what was written.
    """
    folder = pathlib.Path(folder)
    manifest, staged = read_manifest(folder), read_staged(folder)
    if staged is not None:
        raise DataError(
            f"{folder} holds only the shards that a run reads next; look at those in {staged.source}"
        )
    for shard in manifest.shards:
        check_shard(folder, shard)
    return manifest


def check_shard(folder: pathlib.Path, shard: Shard) -> None:
    """Reads every byte of a shard and its sidecar.

    Raises:
      DataError: if its content is not what was written.
    """
    if shard.records and file_sha256(folder / shard.file) != shard.sha256:
        raise DataError(f"{folder / shard.file} has changed since it was written; delete it and {RUN_AGAIN}")
    if (found := len(_read_index(folder, shard))) != shard.records:
        path = folder / shard.index
        raise DataError(f"{path} has {found} lines for {shard.records} records; delete it and {RUN_AGAIN}")


def record_format(spec: TokenizerSpec, size: int, frames: int) -> tuple[tuple[int, ...], str]:
    """Returns the shape and dtype of a record: a clip of `frames` frames of `size` x `size` pixels.

    Raises:
      ConfigError: if a frame is not a whole number of codes, or a code doesn't fit 16 bits.
    """
    rows, columns = spec.grid(size, size)
    if spec.kind == "pixels":
        return (frames, rows, columns, 3), "uint8"
    if spec.codebook_size > 2**16:
        raise ConfigError(f"Shards hold 16-bit codes: a codebook of {spec.codebook_size:,} is over 65,536")
    return (frames, rows, columns), "uint16"


def clip_index(folder: pathlib.Path, manifest: Manifest) -> list[ClipRecord]:
    """Returns where each record comes from, by record number.

    Raises:
      DataError: if a sidecar is missing or doesn't fit its shard.
    """
    records = []
    for shard in manifest.shards:
        records += _read_index(pathlib.Path(folder), shard)
    return records


def file_sha256(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_size(folder: pathlib.Path, shard: Shard) -> None:
    path = folder / shard.file
    for needed in (path, folder / shard.index):
        if not needed.is_file():
            raise DataError(f"{needed} is missing, but {folder / MANIFEST} lists it; {RUN_AGAIN}")
    if path.stat().st_size != shard.bytes:
        raise DataError(f"{path} has {path.stat().st_size:,} bytes instead of {shard.bytes:,}; {RUN_AGAIN}")


def _read_index(folder: pathlib.Path, shard: Shard) -> list[ClipRecord]:
    path = folder / shard.index
    try:
        lines = path.read_text().splitlines()[1:]
        return [ClipRecord.from_json(json.loads(line)) for line in lines]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path} can't be read ({error}); delete it and {RUN_AGAIN}") from error
