"""Writes what `torch.save` writes, without PyTorch: opcodes of pickle's protocol 2, by hand."""

import io
import pathlib
import struct
import zipfile
from typing import Any

import numpy as np

CLASSES = {
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "int64": "LongStorage",
    "bfloat16": "BFloat16Storage",
}


class Global(str):
    """`module name`, as a pickle names a class or a function."""


class Call(tuple):
    """(function, arguments)."""


class Stored(tuple):
    """What a persistent id says."""


def dump(value: Any) -> bytes:
    """Returns the opcodes that put `value` on the stack."""
    if isinstance(value, Global):
        return b"c" + value.replace(" ", "\n").encode() + b"\n"
    if isinstance(value, Call):
        return dump(value[0]) + dump(tuple(value[1])) + b"R"
    if isinstance(value, Stored):
        return dump(tuple(value)) + b"Q"
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        return b"\x8a" + bytes([9]) + value.to_bytes(9, "little", signed=True)
    if isinstance(value, str):
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
    if isinstance(value, (tuple, list)):
        opening, closing = (b"(", b"t") if isinstance(value, tuple) else (b"](", b"e")
        return opening + b"".join(map(dump, value)) + closing
    if isinstance(value, dict):
        return b"}(" + b"".join(dump(key) + dump(item) for key, item in value.items()) + b"u"
    assert value is None
    return b"N"


def program(value: Any) -> bytes:
    return b"\x80\x02" + dump(value) + b"."


def tensor(key: str, array: np.ndarray, shape: Any = None, strides: Any = None, offset: int = 0) -> Call:
    """Returns a tensor that views the storage `key`, which holds the numbers of `array` in a row."""
    shape = array.shape if shape is None else shape
    if strides is None:
        strides = tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))
    storage = Stored(("storage", Global(f"torch {CLASSES[array.dtype.name]}"), key, "cuda:3", array.size))
    function = Global("torch._utils _rebuild_tensor_v2")
    return Call(
        (
            function,
            (
                storage,
                offset,
                tuple(shape),
                tuple(strides),
                False,
                Call((Global("collections OrderedDict"), ())),
            ),
        )
    )


def write_zip(
    path: pathlib.Path, value: Any, storages: dict[str, np.ndarray], compression: int = zipfile.ZIP_STORED
) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", program(value))
        archive.writestr("archive/byteorder", b"little")
        for key, array in storages.items():
            archive.writestr(f"archive/data/{key}", array.tobytes())


def write_legacy(path: pathlib.Path, value: Any, storages: dict[str, np.ndarray]) -> None:
    out = io.BytesIO()
    out.write(b"\x80\x02\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little") + b".")
    for part in (1001, {"little_endian": True}, value, list(storages)):
        out.write(program(part))
    for array in storages.values():
        out.write(struct.pack("<q", array.size) + array.tobytes())
    path.write_bytes(out.getvalue())
