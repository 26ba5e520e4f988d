"""How our step's cost grows with sequence length, depth and batch: time, compile time, memory.

  python -m benchmarks.scaling --shape=cpu

One of the three grows at a time, the rest stays that of the shape (batch 1 while sequence or depth grow, few layers
while the batch does). Depth is shown as one scan step a layer, whose program should not grow, and unrolled. "x per
unit" is the time for each token, layer or example over that of the smallest size: 1 is linear cost. Memory is the
compiler's figure for temporaries.
"""

from typing import Any

from benchmarks import shapes
from benchmarks.bench import Bench, command
from benchmarks.table import Row
from benchmarks.timing import median_seconds

Sweep = list[tuple[int, dict[str, Any]]]


def sweeps(smoke: bool, shape: str) -> dict[str, Sweep]:
    """Returns what grows -> (size, changes to the config)."""
    factors = (1, 2) if smoke else (1, 2, 4, 8)
    config = shapes.make_config(shape, "float32", {})
    side = config.clips.size // 2**config.tokenizer.halvings
    longest = 1 if smoke else max(1, config.clips.frames // 4)
    layers = 1 if smoke else 2 if shape == "cpu" else 4
    return {
        "tokens": [
            (longest * f * side**2, {"clips.frames": longest * f, "train.batch_size": 1}) for f in factors
        ],
        "layers, scanned": [
            (layers * f, {"model.layers": layers * f, "model.scan_unroll": 1, "train.batch_size": 1})
            for f in factors
        ],
        "layers, unrolled": [
            (layers * f, {"model.layers": layers * f, "model.scan_unroll": layers * f, "train.batch_size": 1})
            for f in factors
        ],
        # Few layers: the processes of all sizes have to fit into the machine together.
        "batch": [(f, {"train.batch_size": f, "model.layers": layers}) for f in factors],
    }


def compare(bench: Bench) -> list[Row]:
    shape, rows = shapes.chosen(bench.smoke), []
    for grows, sweep in sweeps(bench.smoke, shape).items():
        for size, changes in sweep:
            bench.add(
                f"{size} {grows}", "benchmarks.ours:train_step", shape=shape, dtype=shapes.DTYPES[shape][0],
                changes={**shapes.overrides(), **changes}, steps=1 if bench.smoke else 3, folder=str(bench.folder),
            )  # fmt: skip
        samples, first = bench.run(), None
        for size, _ in sweep:
            name = f"{size} {grows}"
            if name not in samples:
                continue
            facts = bench.facts[name]
            seconds = median_seconds(samples[name]) / facts["steps"]
            first = first or seconds / size
            rows.append(
                {
                    "grows": grows,
                    "size": size,
                    "s/step": seconds,
                    "x per unit": seconds / size / first,
                    "GFLOP/s": facts["flops_per_step"] / seconds / 1e9,
                    "compile, s": facts["compile_seconds"],
                    "temporaries, MB": facts["temporary_bytes"] and facts["temporary_bytes"] / 1e6,
                }
            )
    return rows


if __name__ == "__main__":
    command("scaling", compare)
