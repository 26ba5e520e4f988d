"""Files that `torch.save` wrote, read without PyTorch: both containers, tensors as NumPy arrays."""

import functools
import itertools
import os
import pathlib
import struct
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from toto_jax.errors import CheckpointError
from toto_jax.interop import torch_pickle
from toto_jax.interop.torch_pickle import Inert, Storage, Tensor

_LEGACY_MAGIC, _LEGACY_VERSION = 0x1950A86A20F9469CFC6C, 1001
_ZIP_START = b"PK\x03\x04"
# What `zipfile` says of bytes that are no zip any more: it checks little before it trusts a field.
_ZIP_ERRORS = (zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError, OverflowError, struct.error)
# Dicts that hold one another many times over could name the same value without end.
_MOST_VALUES = 1_000_000


def read_torch_file(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """Returns all tensors of a file by their dotted names.

    A state dict gives its own names; a whole module, which is how DALL-E's encoder and decoder were published, the
    names that its `state_dict()` would have; nested dicts (Lightning's checkpoints) names joined by dots.

    Args:
      path: of the file: a zip (PyTorch 1.6 and later) or the legacy stream.

    Raises:
      CheckpointError: if it is not such a file, is cut short, or names anything that is not part of weights.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise CheckpointError(f"There is no file {path}")
    with path.open("rb") as file:
        start = file.read(512)
        file.seek(0)
        try:
            if start.startswith(_ZIP_START):
                return _arrays(_read_zip(file))
            _refuse_other_files(start)
            return _arrays(_read_legacy(file))
        except CheckpointError as error:
            raise CheckpointError(f"{path} ({path.stat().st_size:,} bytes): {error}") from error


def _refuse_other_files(start: bytes) -> None:
    text = start.lstrip().lower()
    if text.startswith((b"<", b"{", b"--", b"http", b"version https://git-lfs")):
        raise CheckpointError(
            "it is text, not weights: a download often leaves a web page, a log or a pointer in place of the file. It "
            f"begins with {start[:60]!r}"
        )
    if not start.startswith(b"\x80"):
        raise CheckpointError(f"it is neither a zip nor a pickle of PyTorch; it begins with {start[:16]!r}")


def _read_zip(file: BinaryIO) -> Any:
    """Returns the object in `<root>/data.pkl`; the numbers of a storage lie in `<root>/data/<key>`."""
    try:
        archive = zipfile.ZipFile(file)
    except _ZIP_ERRORS as error:
        raise CheckpointError(
            f"the zip has no sound end ({error}): it was cut short, download it again"
        ) from error
    entries = {entry.filename: entry for entry in archive.infolist()}
    roots = [name.removesuffix("/data.pkl") for name in entries if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise CheckpointError(f"a zip, but not one that PyTorch writes: it has {len(roots)} files data.pkl")
    root = roots[0]
    big = f"{root}/byteorder" in entries and _content(archive, entries[f"{root}/byteorder"]) == b"big"

    def storage(dtype: np.dtype, key: str, size: int) -> Storage:
        name = f"{root}/data/{key}"
        if name not in entries:
            raise CheckpointError(f"a tensor's numbers, {name}, are missing")

        def read() -> bytes:
            content = _content(archive, entries[name])
            return np.frombuffer(content, dtype).byteswap().tobytes() if big else content

        # Several tensors may share one storage (tied weights), and each is read once.
        return Storage(dtype, size, functools.cache(read))

    found = torch_pickle.loads(_content(archive, entries[f"{root}/data.pkl"]), storage)
    return _now(found)


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    if entry.compress_type != zipfile.ZIP_STORED:
        raise CheckpointError(f"{entry.filename} is compressed, which PyTorch never does: not unpacked")
    try:
        return archive.read(entry)
    except _ZIP_ERRORS as error:
        raise CheckpointError(f"{entry.filename} is damaged ({error}): download the file again") from error


def _read_legacy(file: BinaryIO) -> Any:
    """Returns the object of a stream of pickles: magic, version, machine, object, keys; then each key's numbers."""

    def none(*_: Any) -> Storage:
        raise CheckpointError("a storage stands where PyTorch writes none")

    magic = torch_pickle.load(file, none)
    if magic != _LEGACY_MAGIC:
        raise CheckpointError("it is a pickle, but not one that torch.save wrote")
    version, machine = torch_pickle.load(file, none), torch_pickle.load(file, none)
    if version != _LEGACY_VERSION or not isinstance(machine, dict) or not machine.get("little_endian", True):
        raise CheckpointError(f"version {version} of a machine {machine} is not known here")
    # Read no more than there is, whatever sizes the file speaks of.
    here, end = file.tell(), file.seek(0, os.SEEK_END)
    file.seek(here)
    contents: dict[str, bytes] = {}
    dtypes: dict[str, np.dtype] = {}

    def storage(dtype: np.dtype, key: str, size: int) -> Storage:
        dtypes[key] = dtype
        return Storage(dtype, size, lambda: contents.get(key, b""))

    found = torch_pickle.load(file, storage)
    keys = torch_pickle.load(file, none)
    if not isinstance(keys, list) or not {str(key) for key in keys} >= set(dtypes):
        raise CheckpointError("the list of storages doesn't fit the tensors: the file is damaged")
    for key in map(str, keys):
        header = file.read(8)
        if len(header) < 8:
            raise CheckpointError("it ends before its numbers do: it was cut short, download it again")
        size = struct.unpack("<q", header)[0]
        if key not in dtypes or size < 0:
            raise CheckpointError(f"the numbers of {key[:40]!r} belong to no tensor: the file is damaged")
        wanted = size * dtypes[key].itemsize
        if wanted > end - file.tell():
            raise CheckpointError(
                f"{wanted:,} bytes of numbers should follow and {end - file.tell():,} do: it is cut short or damaged"
            )
        contents[key] = file.read(wanted)
    return _now(found)


def _now(found: Any) -> dict[str, np.ndarray]:
    try:
        return {name: tensor.array() for name, tensor in _tensors(found, "", set(), itertools.count())}
    except (RecursionError, ValueError, TypeError) as error:
        raise CheckpointError(f"its tensors can't be put together ({error}): it is damaged") from error


def _arrays(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    if not found:
        raise CheckpointError("it holds no tensors")
    return found


def _tensors(value: Any, name: str, above: set[int], visited: Iterator[int]) -> Iterator[tuple[str, Tensor]]:
    """Yields (dotted name, tensor) of dicts and modules, parameters before buffers before children."""
    if next(visited) > _MOST_VALUES:
        raise CheckpointError(f"it names more than {_MOST_VALUES:,} values: made to exhaust whoever reads it")
    if isinstance(value, Tensor):
        yield name, value
        return
    if id(value) in above:
        return
    inner = above | {id(value)}
    for part, child in _children(value):
        yield from _tensors(child, f"{name}.{part}" if name else part, inner, visited)


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((str(key), child) for key, child in value.items())
    elif isinstance(value, Inert):
        left_out = value.__dict__.get("_non_persistent_buffers_set") or ()
        for kind in ("_parameters", "_buffers", "_modules"):
            held = value.__dict__.get(kind)
            if isinstance(held, Mapping):
                yield from ((str(key), child) for key, child in held.items() if key not in left_out)
