"""Our train step beside `transformers`' LLaMA in PyTorch, eager and compiled, and beside the limit: a large matmul.

  python -m benchmarks.train_step --shape=cpu
  python -m benchmarks.train_step --shape=base --peak_tflops=989 --only=compile,matmul

All start from the same parameters and train on the same batch; the number of parameters, of tokens and the first loss
must agree. FLOPs are the model's, `toto_jax.models.counts.flops_per_token` with causal attention counted half. The
limit is the faster of XLA's and torch's product of two random square matrices in the same dtype. On a CPU torch runs
with and without our setting of glibc's allocator and takes part with the faster.
"""

from absl import flags

from benchmarks import shapes
from benchmarks.bench import Bench, UnequalWork, command
from benchmarks.table import Row
from benchmarks.timing import median_cpu_seconds, median_seconds, ratio

_STEPS = flags.DEFINE_integer("steps", 3, "Steps in a round.", lower_bound=1)
_PEAK = flags.DEFINE_float(
    "peak_tflops", 0, "Data-sheet peak for MFU, TFLOP/s in the dtype (H100, H200: 989)."
)
# Relative difference of the first loss. bfloat16 rounds each product to 8 bits, and not all round the same products.
TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-3}
# dtype -> torch's ways to compute in it: (name, mode, compiled).
MODES = {
    "float32": [("torch eager", "exact", False), ("torch.compile", "exact", True)],
    "bfloat16": [
        ("torch eager, autocast", "autocast", False),
        ("torch.compile, autocast", "autocast", True),
        ("torch.compile, matmul mode", "matmul", True),
    ],
}


def compare(bench: Bench) -> list[Row]:
    shape, steps = shapes.chosen(bench.smoke), 1 if bench.smoke else _STEPS.value
    folder = str(bench.folder)
    rows = []
    for number, dtype in enumerate(shapes.DTYPES[shape]):
        ours = f"ours {dtype}"
        bench.add(
            ours, "benchmarks.ours:train_step", needed=True, shape=shape, dtype=dtype, changes=shapes.overrides(),
            steps=steps, folder=folder, share=number == 0,
        )  # fmt: skip
        facts = bench.facts[ours]
        size = 256 if bench.smoke else 2048 if facts["platform"] == "cpu" else 8192
        add = bench.add_faster if facts["platform"] == "cpu" and not bench.smoke else bench.add
        for name, mode, compiled in MODES[dtype]:
            if mode == "matmul" and facts["platform"] != "cpu":
                continue
            if add(
                f"{name} {dtype}", "benchmarks.peers.llama:train_step", model=facts["model"],
                optimizer=facts["optimizer"], mode=mode, compiled=compiled, steps=steps, folder=folder,
            ):  # fmt: skip
                check_equal(bench, ours, f"{name} {dtype}", TOLERANCE[dtype])
        bench.add(f"matmul XLA {dtype}", "benchmarks.limits:matmul", dtype=dtype, size=size)
        bench.add(f"matmul torch {dtype}", "benchmarks.peers.limits:matmul", dtype=dtype, size=size)
    bench.notes.append(
        "GFLOP/s and MFU count the model's FLOPs (counts.flops_per_token, causal attention counted half): "
        f"{facts['flops_per_step'] / facts['tokens_per_step'] / 1e6:,.1f} MFLOP a token."
    )
    samples = bench.run()
    for dtype in shapes.DTYPES[shape]:
        rows += rows_of(bench, samples, dtype, steps)
    return rows


def check_equal(bench: Bench, ours: str, peer: str, tolerance: float) -> None:
    """Stops unless both have as many parameters and tokens, and the same loss to begin with."""
    a, b = bench.facts[ours], bench.facts[peer]
    for key in ("parameters", "tokens_per_step"):
        if a[key] != b[key]:
            raise UnequalWork(f"{ours} has {a[key]:,} {key}, {peer} {b[key]:,}")
    if abs(a["loss"] - b["loss"]) > tolerance * abs(b["loss"]):
        raise UnequalWork(
            f"On the same parameters and tokens {ours} has a loss of {a['loss']}, {peer} of {b['loss']}"
        )


def rows_of(bench: Bench, samples: dict, dtype: str, steps: int) -> list[Row]:
    """Returns a row for each contestant of a dtype."""
    ours, facts = samples[f"ours {dtype}"], bench.facts[f"ours {dtype}"]
    rates = {
        name: bench.facts[name]["flops"] / median_seconds(taken)
        for name, taken in samples.items()
        if name.startswith("matmul") and name.endswith(dtype)
    }
    limit, rows = max(rates.values(), default=None), []
    for name, taken in samples.items():
        if not name.endswith(dtype):
            continue
        if name in rates:
            flops, row = rates[name], {"contestant": name}
        else:
            seconds = median_seconds(taken) / steps
            flops = facts["flops_per_step"] / seconds
            row = {
                "contestant": name,
                "s/step": seconds,
                "tokens/s": facts["tokens_per_step"] / seconds,
                "CPU-s/step": median_cpu_seconds(taken) / steps,
                "ours is faster by": None if taken is ours else ratio(taken, ours),
            }
        row |= {"GFLOP/s": flops / 1e9, "of the matmul": limit and f"{flops / limit:.0%}"}
        if _PEAK.value:
            row["MFU"] = f"{flops / _PEAK.value / 1e12:.1%}"
        rows.append(row)
    return rows


if __name__ == "__main__":
    command("train_step", compare)
