"""Time and memory of Mamba's scan, forward and backward, by the size of its chunks (config.model.chunk).

  python -m benchmarks.selective_scan

One layer of configs/architectures.py:mamba (2,048 channels) over 1,024 codes, in float32. "position by position" is the
recurrence as it is written, under jax.lax.scan; a chunk of 1,024 is a parallel scan over all of them. Memory is the
compiler's figure for temporaries.
"""

from benchmarks.bench import Bench, command
from benchmarks.table import Row
from benchmarks.timing import median_seconds, ratio

_PEER = "position by position"


def compare(bench: Bench) -> list[Row]:
    positions, channels, chunks = (64, 8, (16, 64)) if bench.smoke else (1024, 2048, (16, 64, 256, 1024))
    names = {_PEER: 0} | {f"chunks of {chunk}": chunk for chunk in chunks}
    for name, chunk in names.items():
        bench.add(
            name,
            "benchmarks.scans:gradient",
            needed=not chunk,
            positions=positions,
            channels=channels,
            chunk=chunk,
        )
    samples = bench.run()
    rows = []
    for name, taken in samples.items():
        temporary = bench.facts[name]["temporary_bytes"]
        rows.append(
            {
                "scan": name,
                "ms": 1e3 * median_seconds(taken),
                "tokens/s": positions / median_seconds(taken),
                "faster than one by one": ratio(samples[_PEER], taken),
                "temporaries, MB": temporary and temporary / 1e6,
            }
        )
    return rows


if __name__ == "__main__":
    command("selective_scan", compare)
