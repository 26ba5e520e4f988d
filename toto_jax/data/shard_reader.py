"""Clips of a folder of shards by number, from any number of shards with few of them open at once.

Shapes: N clips, F frames, H x W pixels, h x w codes.
"""

import collections
import math
import pathlib
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from toto_jax.data.manifest import DTYPES, RUN_AGAIN, Manifest
from toto_jax.errors import DataError, require
from toto_jax.video import START_TOKENS

# An open shard keeps its index of records in memory, and a file handle; the least lately used are closed.
MOST_OPEN = 256
_LOOK_SECONDS = 0.2  # between looks for a shard that is on its way


class ShardReader:
    """The clips of one folder. Threads may share it, and it may be sent to other processes.

    Args:
      folder: of the manifest.
      manifest: as read.
      wait_seconds: how long to wait for a shard that isn't there yet; 0 where all are.
    """

    def __init__(self, folder: pathlib.Path, manifest: Manifest, wait_seconds: float = 0.0):
        self._folder, self._wait_seconds = pathlib.Path(folder), wait_seconds
        self._shards = manifest.shards
        self._shape, self._dtype = tuple(manifest.shape), DTYPES[manifest.dtype]
        self._ends = np.cumsum([shard.records for shard in manifest.shards], dtype=np.int64)
        self._starts = np.array([START_TOKENS[shard.kind] for shard in manifest.shards], np.int32)
        self._prepare()

    def _prepare(self) -> None:
        self._open: collections.OrderedDict[int, Any] = collections.OrderedDict()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_open", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._prepare()

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def starts(self, numbers_N: np.ndarray) -> np.ndarray:
        """Returns the start token of each clip's sequence, int32."""
        return self._starts[np.searchsorted(self._ends, numbers_N, side="right")]

    def read(self, numbers_N: np.ndarray | Sequence[int]) -> np.ndarray:
        """Reads clips by number, in any order.

        Returns:
          Codes (N, F, h, w) uint16, or pixels (N, F, H, W, 3) uint8.

        Raises:
          DataError: on a number out of range, or a shard that can't be read.
        """
        numbers_N = np.asarray(numbers_N, np.int64).reshape(-1)
        outside = numbers_N[(numbers_N < 0) | (numbers_N >= len(self))]
        if len(outside):
            raise DataError(f"{self._folder} has records 0..{len(self) - 1}, not {outside[0]}")
        shards_N = np.searchsorted(self._ends, numbers_N, side="right")
        records: list[bytes] = [b""] * len(numbers_N)
        for shard in np.unique(shards_N):
            first = self._ends[shard] - self._shards[shard].records
            rows = np.flatnonzero(shards_N == shard)
            for row, record in zip(rows, self._read(int(shard), numbers_N[rows] - first), strict=True):
                records[row] = record
        # A bytearray, so that whoever gets the clips may write to them.
        return np.frombuffer(bytearray().join(records), self._dtype).reshape(len(records), *self._shape)

    def _read(self, shard: int, positions: np.ndarray) -> list[bytes]:
        path = self._folder / self._shards[shard].file
        try:
            records = self._reader(shard, path).read(positions.tolist())
        except (RuntimeError, ValueError, IndexError) as error:
            raise DataError(f"The shard {path} can't be read ({error}); delete it and {RUN_AGAIN}") from error
        size = math.prod(self._shape) * self._dtype.itemsize
        if any(len(record) != size for record in records):
            raise DataError(f"The shard {path} holds records of another size than {size} bytes; {RUN_AGAIN}")
        return records

    def _reader(self, shard: int, path: pathlib.Path) -> Any:
        with self._lock:
            reader = self._open.get(shard)
            if reader is not None:
                self._open.move_to_end(shard)
        if reader is None:
            if self._wait_seconds:
                self._await(path)
            module = require("array_record.python.array_record_module", "train")
            # Records are asked for one by one, all over the file: reading ahead would be for nothing.
            reader = module.ArrayRecordReader(
                str(path), options="readahead_buffer_size:0", file_reader_buffer_size=2**15
            )
            if reader.num_records() != self._shards[shard].records:
                raise DataError(
                    f"{path} has {reader.num_records()} records where its manifest counts "
                    f"{self._shards[shard].records}: it was replaced or is damaged. Delete it and {RUN_AGAIN}"
                )
        with self._lock:
            self._open[shard] = reader
            while len(self._open) > MOST_OPEN:
                # Not closed by force: another thread may be reading from it.
                self._open.popitem(last=False)
        return reader

    def _await(self, path: pathlib.Path) -> None:
        """Waits until a staged shard is there, and lets go of those that were deleted, so that their space is free."""
        with self._lock:
            for shard in [s for s in self._open if not (self._folder / self._shards[s].file).exists()]:
                del self._open[shard]
        deadline = time.monotonic() + self._wait_seconds
        while not path.exists():
            if time.monotonic() > deadline:
                raise DataError(
                    f"The shard {path} did not come within config.data.wait_seconds={self._wait_seconds:g}. Is "
                    "python -m toto_jax.data.stage running on this machine, with this config and this workdir?"
                )
            time.sleep(_LOOK_SECONDS)


def read_clips(folder: pathlib.Path, manifest: Manifest, numbers: Sequence[int] | None = None) -> np.ndarray:
    """Returns a folder's clips, all of them or those of these numbers; see `ShardReader.read`."""
    return ShardReader(folder, manifest).read(range(manifest.records) if numbers is None else numbers)
