"""Both containers, and everything that isn't one; test_torch_file_reference.py has files of PyTorch's own."""

import pathlib
import pickle
import zipfile
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tests.interop.torch_writer import Call, Global, Stored, program, tensor, write_legacy, write_zip
from toto_jax.errors import CheckpointError
from toto_jax.interop.torch_file import read_torch_file

ROW = np.arange(12, dtype=np.float32)
HALF = np.array([0.5, -2], np.float16)
BRAIN = np.array([1.5, 3], ml_dtypes.bfloat16)
WRITERS = pytest.mark.parametrize("write", [write_zip, write_legacy])
Writer = Callable[[pathlib.Path, Any, dict[str, np.ndarray]], None]


@WRITERS
def test_views_of_a_shared_storage_keep_offsets_and_strides(tmp_path: pathlib.Path, write: Writer) -> None:
    state = {
        "whole": tensor("0", ROW, (3, 4)),
        "transposed": tensor("0", ROW, (4, 3), (1, 4)),
        "part": tensor("0", ROW, (2, 2), (4, 1), offset=5),
        "scalar": tensor("0", ROW, (), (), offset=7),
        "half": tensor("1", HALF),
        "brain": tensor("2", BRAIN),
    }
    write(tmp_path / "file", state, {"0": ROW, "1": HALF, "2": BRAIN})
    got = read_torch_file(tmp_path / "file")
    matrix = ROW.reshape(3, 4)
    wanted = {
        "whole": matrix, "transposed": matrix.T, "part": matrix[1:, 1:3], "scalar": ROW[7], "half": HALF,
        "brain": BRAIN,
    }  # fmt: skip
    assert list(got) == list(wanted)
    for name, array in wanted.items():
        assert got[name].dtype == array.dtype
        assert got[name].flags.c_contiguous
        np.testing.assert_array_equal(got[name], array)


@WRITERS
def test_modules_of_known_libraries_are_inert_boxes(tmp_path: pathlib.Path, write: Writer) -> None:
    """A saved module gives the names of its state dict; what else it holds is not looked at."""
    weight = Call((Global("torch._utils _rebuild_parameter"), (tensor("0", ROW, (3, 4)), True, None)))
    conv = Call((Global("dall_e.utils Conv2d"), ()))
    write(
        tmp_path / "file",
        {
            "state_dict": {"conv.w": weight},
            "callbacks": conv,
            "epoch": 3,
            "shape": Call((Global("torch Size"), ((1, 2),))),
        },
        {"0": ROW},
    )
    assert list(read_torch_file(tmp_path / "file")) == ["state_dict.conv.w"]


@WRITERS
@pytest.mark.parametrize(
    ("module", "name"),
    [("os", "system"), ("builtins", "eval"), ("builtins", "getattr"), ("subprocess", "Popen"),
     ("operator", "attrgetter"), ("runpy", "run_path"), ("pickle", "loads")],
)  # fmt: skip
def test_a_file_that_would_run_something_is_refused_by_name(
    tmp_path: pathlib.Path, write: Writer, module: str, name: str
) -> None:
    mark = tmp_path / "it ran"
    write(tmp_path / "file", Call((Global(f"{module} {name}"), (f"touch '{mark}'",))), {})
    with pytest.raises(CheckpointError, match=rf"names {module}\.{name}.*Nothing was run"):
        read_torch_file(tmp_path / "file")
    assert not mark.exists()


def test_functions_of_known_libraries_are_not_run_either(tmp_path: pathlib.Path) -> None:
    """`torch.load`, `numpy.load` or `torch.hub.load` become inert classes: calling them makes an empty box."""
    calls = {name: Call((Global(name), (str(tmp_path / "other"),))) for name in ("torch load", "numpy load")}
    write_zip(tmp_path / "file", {**calls, "w": tensor("0", ROW)}, {"0": ROW})
    assert list(read_torch_file(tmp_path / "file")) == ["w"]


def test_a_pickle_as_python_makes_it_with_a_reduce_is_refused(tmp_path: pathlib.Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",))

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with zipfile.ZipFile(tmp_path / "file", "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps({"w": Evil()}, protocol))
        with pytest.raises(CheckpointError, match="exec"):
            read_torch_file(tmp_path / "file")
    assert not (tmp_path / "ran").exists()


@WRITERS
@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((4, 4), (4, 1), 0),
        ((12,), (1,), 1),
        ((2,), (-1,), 5),
        ((3,), (1,), -1),
        ((1000, 1000), (0, 0), 0),
        ((-1,), (1,), 0),
    ],
)
def test_a_tensor_beyond_its_storage_is_refused(
    tmp_path: pathlib.Path, write: Writer, shape: Any, strides: Any, offset: int
) -> None:
    write(tmp_path / "file", {"w": tensor("0", ROW, shape, strides, offset)}, {"0": ROW})
    with pytest.raises(CheckpointError, match="is more than its 12 numbers"):
        read_torch_file(tmp_path / "file")


def test_dicts_that_hold_one_another_without_end_are_refused(tmp_path: pathlib.Path) -> None:
    """Forty levels of two references to the level below name 2**40 tensors; memo opcodes make it a short file."""
    body = b"\x80\x02" + b"}(" + _opcodes("w", tensor("0", ROW)) + b"uq\x00"
    for level in range(40):
        at = bytes([level])
        body += b"0}(" + _opcodes("a") + b"h" + at + _opcodes("b") + b"h" + at + b"uq" + bytes([level + 1])
    with zipfile.ZipFile(tmp_path / "file", "w") as archive:
        archive.writestr("archive/data.pkl", body + b".")
        archive.writestr("archive/data/0", ROW.tobytes())
    with pytest.raises(CheckpointError, match="more than 1,000,000 values"):
        read_torch_file(tmp_path / "file")


def _opcodes(*values: Any) -> bytes:
    return b"".join(program(value)[2:-1] for value in values)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><html>Not found</html>", "text, not weights.*web page"),
        (b"--2026-01-01-- https://example.org", "text, not weights"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "text, not weights.*pointer"),
        (b"\x89PNG\r\n", "neither a zip nor a pickle"),
        (b"", "neither a zip nor a pickle"),
        (pickle.dumps({"a": 1}, 2), "a pickle, but not one that torch.save wrote"),
        (b"\x80\x02}(", "no pickle that PyTorch writes, or only a part of one"),
    ],
)
def test_what_is_no_torch_file_says_what_it_is(tmp_path: pathlib.Path, content: bytes, message: str) -> None:
    (tmp_path / "encoder.pkl").write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"encoder\.pkl \({len(content)} bytes\): .*{message}"):
        read_torch_file(tmp_path / "encoder.pkl")


def test_a_missing_file_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(CheckpointError, match="There is no file .*nothing"):
        read_torch_file(tmp_path / "nothing")


@WRITERS
def test_any_truncation_is_an_error(tmp_path: pathlib.Path, write: Writer) -> None:
    write(tmp_path / "file", {"w": tensor("0", ROW)}, {"0": ROW})
    whole = (tmp_path / "file").read_bytes()
    for size in range(0, len(whole), 7):
        (tmp_path / "file").write_bytes(whole[:size])
        with pytest.raises(CheckpointError):
            read_torch_file(tmp_path / "file")


@WRITERS
def test_any_flipped_byte_is_an_error_or_harmless(tmp_path: pathlib.Path, write: Writer) -> None:
    """Nothing but a CheckpointError comes out of damaged files, whatever byte is hit."""
    write(tmp_path / "file", {"w": tensor("0", ROW), "v": tensor("1", HALF)}, {"0": ROW, "1": HALF})
    whole = (tmp_path / "file").read_bytes()
    rng = np.random.default_rng(0)
    failed = 0
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= int(rng.integers(1, 256))
        (tmp_path / "file").write_bytes(damaged)
        try:
            read_torch_file(tmp_path / "file")
        except CheckpointError:
            failed += 1
    assert failed > len(whole) / 4


def test_compressed_zips_are_not_unpacked(tmp_path: pathlib.Path) -> None:
    write_zip(tmp_path / "file", {"w": tensor("0", ROW)}, {"0": ROW}, zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="compressed, which PyTorch never does"):
        read_torch_file(tmp_path / "file")


def test_other_zips_are_named(tmp_path: pathlib.Path) -> None:
    with zipfile.ZipFile(tmp_path / "file", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(CheckpointError, match="a zip, but not one that PyTorch writes"):
        read_torch_file(tmp_path / "file")


def test_a_file_without_tensors_is_an_error(tmp_path: pathlib.Path) -> None:
    write_zip(tmp_path / "file", {"epoch": 3}, {})
    with pytest.raises(CheckpointError, match="holds no tensors"):
        read_torch_file(tmp_path / "file")


BUILD = b"b"


@pytest.mark.parametrize(
    ("made", "state"),
    [
        (Global("torch BFloat16Storage"), (3, "<", None, None, None, 64, 1, 0)),
        (tensor("0", ROW), {"offset": -4096}),
        (Global("torch._utils _rebuild_tensor_v2"), (None, {"call": 1})),
        (Global("collections defaultdict"), (None, {"call": 1})),
    ],
)
def test_what_was_made_can_not_be_changed(tmp_path: pathlib.Path, made: Any, state: Any) -> None:
    """The opcode BUILD writes into objects: a dtype of another size would read memory that isn't the file's."""
    body = b"\x80\x02}(" + _opcodes("w", made, state) + BUILD + b"u."
    with zipfile.ZipFile(tmp_path / "file", "w") as archive:
        archive.writestr("archive/data.pkl", body)
        archive.writestr("archive/data/0", ROW.tobytes())
    with pytest.raises(CheckpointError, match="after they were made, which PyTorch never does"):
        read_torch_file(tmp_path / "file")
    assert np.dtype(ml_dtypes.bfloat16).itemsize == 2


def test_a_storage_can_not_be_changed_either(tmp_path: pathlib.Path) -> None:
    storage = Stored(("storage", Global("torch FloatStorage"), "0", "cpu", 12))
    body = b"\x80\x02}(" + _opcodes("w", storage, {"size": 10**9}) + BUILD + b"u."
    with zipfile.ZipFile(tmp_path / "file", "w") as archive:
        archive.writestr("archive/data.pkl", body)
        archive.writestr("archive/data/0", ROW.tobytes())
    with pytest.raises(CheckpointError, match="changes storages after they were made"):
        read_torch_file(tmp_path / "file")


def test_dicts_without_a_tensor_end_too(tmp_path: pathlib.Path) -> None:
    """Forty levels that each hold the level below twice, and nothing at the bottom; and three thousand in a row."""
    body = b"\x80\x02}q\x00"
    for level in range(40):
        at = bytes([level])
        body += b"0}(" + _opcodes("a") + b"h" + at + _opcodes("b") + b"h" + at + b"uq" + bytes([level + 1])
    deep = b"\x80\x02" + b"".join(b"}" + _opcodes("a") for _ in range(3000)) + b"}" + b"s" * 3000
    for content, message in ((body, "more than 1,000,000 values"), (deep, "can't be put together")):
        with zipfile.ZipFile(tmp_path / "file", "w") as archive:
            archive.writestr("archive/data.pkl", content + b".")
        with pytest.raises(CheckpointError, match=message):
            read_torch_file(tmp_path / "file")


def test_builtins_under_python_2_s_name_are_known(tmp_path: pathlib.Path) -> None:
    """Protocol 2, in which torch.save writes, calls them `__builtin__`."""
    extra = {"callbacks": Call((Global("collections defaultdict"), (Global("__builtin__ list"),)))}
    write_zip(tmp_path / "file", {**extra, "w": tensor("0", ROW)}, {"0": ROW})
    assert list(read_torch_file(tmp_path / "file")) == ["w"]
