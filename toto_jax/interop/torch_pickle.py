"""The pickle inside of a PyTorch file, read without PyTorch and without running anything that it names.

A pickle is a program. This reader knows the few functions that put tensors together, lets classes of known libraries
stand as inert boxes for what they hold, and refuses everything else by its name before it could run.
"""

import collections
import dataclasses
import io
import math
import pickle
from collections.abc import Callable
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from toto_jax.errors import CheckpointError

# torch's class of storage -> the numbers in it.
STORAGES = {
    "FloatStorage": np.dtype(np.float32),
    "DoubleStorage": np.dtype(np.float64),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
    "ShortStorage": np.dtype(np.int16),
    "CharStorage": np.dtype(np.int8),
    "ByteStorage": np.dtype(np.uint8),
    "BoolStorage": np.dtype(np.bool_),
}
# Packages whose objects come with published weights (modules, callbacks, settings) and are never needed.
INERT = (
    "dall_e", "lightning", "lightning_fabric", "lightning_utilities", "numpy", "omegaconf", "pytorch_lightning",
    "taming", "torch", "typing",
)  # fmt: skip


class Sealed:
    """What a pickle may hold and not change: its opcode BUILD would write past all checks."""

    def __setstate__(self, state: Any) -> None:
        raise CheckpointError(
            f"The file changes {type(self).__name__.lower()}s after they were made, which PyTorch never does"
        )


@dataclasses.dataclass(frozen=True)
class Storage(Sealed):
    """Numbers in a file, in a row.

    Attributes:
      dtype: of each.
      size: how many.
      read: returns their bytes, little-endian.
    """

    dtype: np.dtype
    size: int
    read: Callable[[], bytes]


@dataclasses.dataclass(frozen=True)
class Tensor(Sealed):
    """A view of a storage; strides and offset are in numbers, not bytes."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> np.ndarray:
        """Reads the tensor.

        Raises:
          CheckpointError: if it reaches beyond its storage, or the storage is shorter than it says.
        """
        last = self.offset + sum(
            (size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True)
        )
        numbers = math.prod(self.shape)
        outside = min((self.offset, *self.strides)) < 0 or last >= self.storage.size
        if min(self.shape, default=0) < 0 or (numbers and outside) or numbers > self.storage.size:
            raise CheckpointError(
                f"A tensor of shape {self.shape}, strides {self.strides} at {self.offset} is more than its "
                f"{self.storage.size:,} numbers: the file is damaged or made to deceive"
            )
        content, wanted = self.storage.read(), self.storage.size * self.storage.dtype.itemsize
        if len(content) < wanted:
            raise CheckpointError(
                f"A storage has {len(content):,} bytes in place of {wanted:,}: the file is cut short"
            )
        flat = np.frombuffer(content, self.storage.dtype, count=self.storage.size)
        itemsize = self.storage.dtype.itemsize
        view = np.lib.stride_tricks.as_strided(
            flat[self.offset :],
            self.shape,
            tuple(stride * itemsize for stride in self.strides),
            writeable=False,
        )
        return np.ascontiguousarray(view).reshape(self.shape)


@dataclasses.dataclass(frozen=True)
class Function(Sealed):
    """One of the few that a pickle may call."""

    call: Callable[..., Any]

    def __call__(self, *args: Any) -> Any:
        return self.call(*args)


@dataclasses.dataclass(frozen=True)
class StorageType(Sealed):
    """torch's name of the numbers in a storage."""

    name: str


class Inert:
    """Stands for an object of another library: it has its attributes and no behaviour."""

    def __new__(cls, *args: Any, **kwargs: Any) -> "Inert":
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any):
        self.items: list[Any] = []

    def __setstate__(self, state: Any) -> None:
        parts = state if isinstance(state, tuple) else (state,)
        for part in parts:
            if isinstance(part, dict):
                self.__dict__.update({str(name): value for name, value in part.items()})

    def append(self, item: Any) -> None:
        """Lists that are objects of their own kind are filled by this."""

    def extend(self, items: Any) -> None:
        """See `append`."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Dicts that are objects of their own kind are filled by this."""

    def __hash__(self) -> int:
        return id(self)


def _tensor(storage: Any, offset: int, shape: Any, strides: Any, *_: Any) -> Tensor:
    if not isinstance(storage, Storage):
        raise CheckpointError(f"A tensor in the file is made of {type(storage).__name__}, not of a storage")
    return Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


def _parameter(data: Any, *_: Any) -> Any:
    return data


# What a pickle may call.
_CALLABLE: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("collections", "defaultdict"): Function(lambda *_: {}),
    ("torch._utils", "_rebuild_tensor"): Function(_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): Function(_tensor),
    ("torch._utils", "_rebuild_parameter"): Function(_parameter),
    ("torch._utils", "_rebuild_parameter_with_state"): Function(_parameter),
    ("torch", "Size"): tuple,
    # Bytes as protocol 2 writes them, of numbers that are no tensors.
    ("_codecs", "encode"): Function(lambda *_: b""),
    # Python 2's name of the builtins is what protocol 2 writes.
    **{
        (module, kind.__name__): kind
        for module in ("builtins", "__builtin__")
        for kind in (set, frozenset, dict, list, tuple, int, float, bool, str)
    },
    ("__builtin__", "long"): int,
}


class Unpickler(pickle.Unpickler):
    """Reads one pickle of a PyTorch file.

    Args:
      file: at the pickle's first byte; the legacy container has several in a row.
      storage: (dtype, key, size) -> the storage that the pickle speaks of.
    """

    def __init__(self, file: BinaryIO, storage: Callable[[np.dtype, str, int], Storage]):
        super().__init__(file, encoding="latin-1")
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        known = _CALLABLE.get((module, name))
        if known is not None:
            return known
        if module in ("torch", "torch.storage") and name in STORAGES:
            return StorageType(name)
        if module.split(".")[0] in INERT and not name.startswith("__"):
            return type(name.rpartition(".")[2], (Inert,), {"__module__": module})
        raise CheckpointError(
            f"The file names {module}.{name}, which has no business in a file of weights. Nothing was run; "
            "ask whoever made it for safetensors"
        )

    def persistent_load(self, pid: Any) -> Any:
        """Returns the storage of ('storage', class, key, location, size, ...); the source of modules is dropped."""
        if isinstance(pid, tuple) and len(pid) >= 3 and pid[0] == "module":
            return pid[1]
        if not (
            isinstance(pid, tuple)
            and len(pid) >= 5
            and pid[0] == "storage"
            and isinstance(pid[1], StorageType)
        ):
            raise CheckpointError(f"The file has a reference that PyTorch doesn't write: {str(pid)[:100]}")
        if any(part is not None for part in pid[5:]):
            raise CheckpointError(
                "The file has views of storages, as PyTorch wrote them before 0.4: not read"
            )
        return self._storage(STORAGES[pid[1].name], str(pid[2]), int(pid[4]))


def load(file: BinaryIO, storage: Callable[[np.dtype, str, int], Storage]) -> Any:
    """Returns the object of one pickle; see `Unpickler`.

    Raises:
      CheckpointError: if it names anything but tensors and known containers, or isn't a whole pickle.
    """
    try:
        return Unpickler(file, storage).load()
    except CheckpointError:
        raise
    except Exception as error:  # whatever a damaged program makes the machine say
        raise CheckpointError(
            f"This is no pickle that PyTorch writes, or only a part of one: {error}"
        ) from error


def loads(content: bytes, storage: Callable[[np.dtype, str, int], Storage]) -> Any:
    """Returns the object of a pickle in memory; see `load`."""
    return load(io.BytesIO(content), storage)
