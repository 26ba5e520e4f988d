"""Writes one shard and its sidecar so that a kill at any moment leaves either both, complete, or nothing that
counts.

Both are written under temporary names, flushed to the disk and renamed, the sidecar last: a sidecar says that
its unit of work is complete. Its first line is the unit's header; the lines after it are one `ClipRecord`
each.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import secrets
import socket
import statistics
from collections.abc import Iterator

import numpy as np

from toto_jax.data.claims import CLAIMS
from toto_jax.data.clip_record import ClipRecord
from toto_jax.data.manifest import DTYPES, Shard, file_sha256
from toto_jax.errors import StorageError, require
from toto_jax.video import START_TOKENS

TEMPORARY = ".tmp"
_TOKEN = secrets.token_hex(4)
# One record a group, for random access to single clips; zstd level 3 shrinks codes of video by 40 %.
OPTIONS = "group_size:1,zstd:3"


@dataclasses.dataclass(frozen=True)
class Unit:
    """A complete unit of work.

    Attributes:
      digest: of everything that determines it: settings and inputs.
      shard: what was written; with 0 records there is no file.
      frames_per_second: median of its clips; None for images.
      rejected: (source, reason) of inputs that could not be used.
    """

    digest: str
    shard: Shard
    frames_per_second: float | None
    rejected: tuple[tuple[str, str], ...]


class ShardWriter:
    """Writes a unit: `add` and `reject`, then `commit`; `close` in any case.

    Args:
      folder: where to.
      stem: of the file names, `<kind>-00000`.
      kind: of all its records.

    Raises:
      StorageError: here and in all methods, if the disk is full or can't be written.
    """

    def __init__(self, folder: pathlib.Path, stem: str, kind: str):
        array_record = require("array_record.python.array_record_module", "train")
        self._shard = folder / f"{stem}.array_record"
        self._index = folder / f"{stem}.jsonl"
        self._kind = kind
        self._records: list[str] = []
        self._rates: list[float] = []
        self._rejected: list[tuple[str, str]] = []
        with storage_errors(self._shard):
            folder.mkdir(parents=True, exist_ok=True)
            self._writer = array_record.ArrayRecordWriter(temporary_name(self._shard), OPTIONS)

    def add(self, clip: np.ndarray, record: ClipRecord) -> None:
        """Appends a clip of codes (uint16) or pixels (uint8)."""
        with storage_errors(self._shard):
            self._writer.write(clip.astype(DTYPES[clip.dtype.name], copy=False).tobytes())
        self._records.append(json.dumps(dataclasses.asdict(record)))
        if record.clip_rate is not None:
            self._rates.append(record.clip_rate)

    def reject(self, source: str, reason: str) -> None:
        """Notes an input that could not be used."""
        self._rejected.append((source, reason))

    def commit(self, digest: str) -> Unit:
        """Makes the unit complete, for good, and removes what others that began it have left."""
        with storage_errors(self._shard):
            self._writer.close()
            temporary = pathlib.Path(temporary_name(self._shard))
            size, sha256 = temporary.stat().st_size, file_sha256(temporary)
            if self._records:
                _flush(temporary)
                os.replace(temporary, self._shard)
            else:
                temporary.unlink()
                size, sha256 = 0, ""
            shard = Shard(self._shard.name, self._kind, len(self._records), size, sha256, self._index.name)
            rate = statistics.median(self._rates) if self._rates else None
            unit = Unit(digest, shard, rate, tuple(self._rejected))
            write_text(self._index, "\n".join([json.dumps(dataclasses.asdict(unit)), *self._records]) + "\n")
        _remove_temporary(self._index.parent, f"{self._index.stem}.")
        return unit

    def close(self) -> None:
        """Drops what was not committed."""
        with contextlib.suppress(RuntimeError):
            self._writer.close()
        with contextlib.suppress(OSError):
            os.unlink(temporary_name(self._shard))


def read_unit(folder: pathlib.Path, stem: str, digest: str) -> Unit | None:
    """Returns a unit that is complete and made as `digest` says, else None: it is to be done (again)."""
    try:
        with (folder / f"{stem}.jsonl").open() as file:
            values = json.loads(file.readline())
        shard = Shard(**values["shard"])
        rejected = tuple((source, reason) for source, reason in values["rejected"])
        unit = Unit(values["digest"], shard, values["frames_per_second"], rejected)
        whole = not shard.records or (folder / shard.file).stat().st_size == shard.bytes
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return unit if whole and unit.digest == digest else None


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes a file whole or not at all, and onto the disk before it returns."""
    temporary = pathlib.Path(temporary_name(path))
    with storage_errors(path):
        temporary.write_text(text)
        _flush(temporary)
        os.replace(temporary, path)
        _flush(path.parent)


def remove_remains(folder: pathlib.Path) -> None:
    """Removes what killed workers left in the folder of a complete job: temporary files of units, and claims."""
    # Not all temporary files: another worker may just be writing the manifest.
    for kind in START_TOKENS:
        _remove_temporary(folder, f"{kind}-")
    with contextlib.suppress(OSError):  # there are none, or another worker is at it as well
        for path in list((folder / CLAIMS).iterdir()):
            path.unlink(missing_ok=True)
        (folder / CLAIMS).rmdir()


@contextlib.contextmanager
def storage_errors(path: pathlib.Path) -> Iterator[None]:
    """Turns failures to write into StorageError; ArrayRecord reports them as RuntimeError."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        # What ArrayRecord says after the reason is for its developers.
        reason = getattr(error, "strerror", None) or str(error).split(";")[0]
        raise StorageError(f"{path} can't be written: {reason}") from error


def temporary_name(path: pathlib.Path) -> str:
    """Returns a name that no other process writes to; host and number don't tell containers of a machine apart."""
    return f"{path}.{socket.gethostname()}.{os.getpid()}.{_TOKEN}{TEMPORARY}"


def _remove_temporary(folder: pathlib.Path, begin: str) -> None:
    """Removes temporary files whose names begin so."""
    with contextlib.suppress(OSError):  # whatever can't be removed does no harm
        for path in folder.glob(f"{begin}*{TEMPORARY}"):
            path.unlink(missing_ok=True)


def _flush(path: pathlib.Path) -> None:
    """Waits until a file or the entries of a folder are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
