"""Random clips from thousands of shards: what it costs to open them, in time, files and memory.

  python -m benchmarks.many_shards

All read batches of 32 clips of 4,096 codes, in random order, from copies of the same small shards that the system
holds in memory. "ours" keeps few of them open; "in windows" goes through 64 at a time (`config.data.window`); "all left
open" is ArrayRecord's own data source, which closes none. The limit is our reader over so few that none is closed.
"""

import ctypes
import os
import pathlib
import resource
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import flags

from benchmarks.bench import Bench, command
from benchmarks.shards import copy_shards, write_shards
from benchmarks.table import Row
from benchmarks.timing import median_cpu_seconds, median_seconds, repetitions
from toto_jax.video import ClipGeometry

_SHARDS = flags.DEFINE_integer("shards", 10_000, "Shards to read from.", lower_bound=2)
_EACH = flags.DEFINE_integer("each", 8, "Clips in a shard.", lower_bound=1)
BATCH, FEW, WINDOW = 32, 200, 64
Work = tuple[dict[str, Any], Callable[[], dict[str, float]]]


def ours(folder: str, source: str, window: int, each: int) -> Work:
    from toto_jax.data.manifest import read_manifest
    from toto_jax.data.pipeline import Pipeline
    from toto_jax.data.shard_reader import MOST_OPEN, ShardReader

    place = pathlib.Path(folder) / source / "train"
    reader = ShardReader(place, read_manifest(place))
    kept = min(len(reader) // each, MOST_OPEN)
    memory = _memory_each(lambda shard: reader.read([shard * each]), kept)
    batches = Pipeline(pathlib.Path(folder), {source: 1}, BATCH, seed=0, window=window).batches_from(0)
    return _rounds(lambda: next(batches), memory)


def left_open(folder: str, source: str, window: int, each: int) -> Work:
    from array_record.python.array_record_data_source import ArrayRecordDataSource

    files = sorted((pathlib.Path(folder) / source / "train").glob("*.array_record"))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    data, rng = ArrayRecordDataSource([str(path) for path in files]), np.random.default_rng(0)
    memory = _memory_each(lambda shard: data[shard * each], len(files))

    def batch() -> np.ndarray:
        records = data.__getitems__(rng.integers(0, len(data), BATCH).tolist())
        return np.stack([np.frombuffer(record, np.uint16).astype(np.int32) for record in records])

    return _rounds(batch, memory)


def _memory_each(read: Callable[[int], object], shards: int) -> float:
    """Returns the KiB that are allocated with each shard that is opened to read from it."""
    read(0)
    before = _allocated()
    for shard in range(1, shards):
        read(shard)
    return (_allocated() - before) / max(shards - 1, 1) / 1024


class _Mallinfo(ctypes.Structure):
    """What glibc's `mallinfo2` returns; the fields without a name are of no use here."""

    _fields_ = [(name, ctypes.c_size_t) for name in (*"abcd", "mapped", "f", "g", "allocated", "i", "j")]


def _allocated() -> int:
    """Bytes in use: what is resident says little while the allocator keeps memory for later."""
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = _Mallinfo
    found = mallinfo()
    return found.allocated + found.mapped


def _resident() -> int:
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _rounds(batch: Callable[[], object], memory: float) -> Work:
    times = 16 * repetitions(lambda: [batch() for _ in range(16)])

    def work() -> dict[str, float]:
        for _ in range(times):
            batch()
        return {"files": len(os.listdir("/proc/self/fd")), "resident": _resident()}

    return {"records": times * BATCH, "memory": memory}, work


def compare(bench: Bench) -> list[Row]:
    geometry, many = (
        (ClipGeometry(2, 4, 4), 300) if bench.smoke else (ClipGeometry(16, 16, 16), _SHARDS.value)
    )
    write_shards(bench.folder, 4 * _EACH.value, geometry, 8192)
    copy_shards(bench.folder, "few", FEW)
    copy_shards(bench.folder, "many", many)
    contestants = {
        f"limit: {FEW} shards": ("ours", "few", 0),
        f"ours, {many:,} shards": ("ours", "many", 0),
        f"ours, {many:,} in windows of {WINDOW}": ("ours", "many", WINDOW),
        f"{many:,} all left open": ("left_open", "many", 0),
    }
    for name, (factory, source, window) in contestants.items():
        settings = dict(folder=str(bench.folder), source=source, window=window, each=_EACH.value)
        bench.add(name, f"benchmarks.many_shards:{factory}", **settings)
    rows = []
    for name, taken in bench.run().items():
        records, seconds = bench.facts[name]["records"], median_cpu_seconds(taken)
        rows.append(
            {
                "contestant": name,
                "records/s": records / median_seconds(taken),
                "records/s a core": records / seconds,
                "Mtokens/s a core": records * geometry.codes / seconds / 1e6,
                "open files": max(int(sample.extra["files"]) for sample in taken),
                "resident, MiB": max(sample.extra["resident"] for sample in taken) / 2**20,
                "KiB an open shard": bench.facts[name]["memory"],
            }
        )
    for row in rows:
        row["of the limit, a core"] = row["records/s a core"] / rows[0]["records/s a core"]
    return rows


if __name__ == "__main__":
    command("many_shards", compare)
