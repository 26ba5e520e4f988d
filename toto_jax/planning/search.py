"""Walks remat policy x microbatches x mesh, by arithmetic; the best few may then be compiled."""

import math
from collections.abc import Iterator
from typing import Any

from toto_jax.errors import ConfigError
from toto_jax.models.remat import NAMES
from toto_jax.planning.plan import Plan
from toto_jax.planning.planner import Planner

Row = tuple[dict[str, Any], Plan]
# More than so many devices in a tensor axis never pays for decoders of these sizes.
MAX_TENSOR = 8
MAX_MICROBATCHES = 64
# Times nearer to each other than this say nothing, and the simpler layout is the better one.
NOISE = 0.02


def search(planner: Planner, rows: int = 12, compiled: int = 0) -> list[Row]:
    """Returns (changed keys, plan) of the best layouts: those that fit first, then by time with nothing overlapping.

    Layouts that the config can't have on the machine are passed over. When plans are compiled, those that turn out not
    to fit give their place to the next.

    Args:
      planner: of the config and the machine.
      rows: how many to return.
      compiled: how many of the best to ask the compiler about.
    """
    found = []
    for changes in candidates(planner):
        try:
            found.append((changes, planner.plan(changes)))
        except ConfigError:
            continue
    found.sort(key=_rank)
    best, compiled_rows = found[:rows], []
    for changes, plan in best:
        if len([row for row in compiled_rows if row[1].fits]) >= compiled or not plan.fits:
            break
        compiled_rows.append((changes, planner.plan(changes, compiled=True)))
    return sorted(compiled_rows, key=_rank) + best[len(compiled_rows) :]


def _rank(row: Row) -> tuple[bool, int, int, float]:
    plan = row[1]
    seconds = plan.roofline.step_seconds_in_turn
    axes = sum(size > 1 for size in plan.mesh.values()) + (plan.microbatches > 1)
    return (not plan.fits, round(math.log(seconds) / math.log(1 + NOISE)), axes, seconds)


def candidates(planner: Planner) -> Iterator[dict[str, Any]]:
    """Yields changes of a config: every mesh of powers of two, every remat policy, microbatches in powers of two."""
    batch = planner.config.train.batch_size
    for mesh in meshes(planner):
        rows = math.prod(mesh.get(f"mesh.{axis}", 1) for axis in ("slices", "data", "fsdp"))
        for power in range(int(math.log2(MAX_MICROBATCHES)) + 1):
            if batch % (2**power * rows) == 0:
                for remat in NAMES:
                    yield {**mesh, "model.remat": remat, "train.microbatches": 2**power}


def meshes(planner: Planner) -> Iterator[dict[str, Any]]:
    """Yields the sizes of the mesh axes; the slow outer axis keeps the size that the machine gives it."""
    chips = planner.machine.chips
    outer = planner.machine.slices if planner.machine.chip.platform == "tpu" else 1
    inner = chips // outer
    for tensor in _divisors(inner, MAX_TENSOR):
        for sequence in _divisors(inner // tensor, MAX_TENSOR):
            for fsdp in _divisors(inner // tensor // sequence, inner):
                data = inner // tensor // sequence // fsdp
                sizes = {"slices": outer, "data": data, "fsdp": fsdp, "sequence": sequence, "tensor": tensor}
                yield {f"mesh.{axis}": size for axis, size in sizes.items()}


def _divisors(number: int, largest: int) -> list[int]:
    return [
        size for size in range(1, min(number, largest) + 1) if number % size == 0 and size & (size - 1) == 0
    ]


def remedies(planner: Planner, rows: int = 4) -> list[tuple[str, Plan]]:
    """Returns (command-line overrides, plan) of changes of remat and microbatches that make the config fit."""
    given = planner.config
    batch = given.train.batch_size
    found = []
    for remat in NAMES:
        for power in range(int(math.log2(MAX_MICROBATCHES)) + 1):
            if batch % 2**power or 2**power < given.train.microbatches:
                continue
            changes = {"model.remat": remat, "train.microbatches": 2**power}
            try:
                plan = planner.plan(changes)
            except ConfigError:
                continue
            same = remat == given.model.remat and 2**power == given.train.microbatches
            if plan.fits and not same:
                words = " ".join(f"--config.{key}={value}" for key, value in changes.items())
                found.append((words, plan))
                break
    return sorted(found, key=lambda row: row[1].roofline.step_seconds_in_turn)[:rows]
