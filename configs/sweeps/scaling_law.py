"""The paper's scaling study (Figure 9, Table 15): six sizes, held-out loss at several budgets, one rate by muP.

  python -m launch.sweep --sweep=configs/sweeps/scaling_law.py --workdir=... --backend=slurm --parallel=6
  python -m launch.sweep --sweep=configs/sweeps/scaling_law.py:small --workdir=runs/law --backend=local
  python -m toto_jax.analysis.scaling_law runs/law --out=runs/law_figure

a1 to a6 with 16 heads each, on codes of the VQGAN with 16,384 codes; the paper evaluates about every 5,000 steps of 256
clips, up to 250 to 750 billion tokens, and finds 7.32 C^-0.0378. The rate is 2^-7, the best of the sweep over rates,
and so the base of muP is that sweep's: a rate means something only with its base. All checkpoints are kept, 60 of each
size and about 23 GB each of a6. Not run by us at this size.

`small` has five sizes of 78 to 674 thousand parameters on procedural clips, the small ones trained for longer, as a
frontier needs what they come to with much compute too. The rate is constant, so that each evaluation on the way is as
good as a run that ends there: half of 2^-6, the best of `mup_lr.py:small`, whose rates fall to 0.
"""

import pathlib
from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from configs import sizes
from configs.sweeps import mup_lr

# Name -> width and layers.
TABLE_15 = {
    "a1": (256, 12),
    "a2": (512, 16),
    "a3": (768, 20),
    "a4": (1024, 24),
    "a5": (1536, 28),
    "a6": (1792, 32),
}
# Name -> width, layers and steps.
SMALL = {
    "s1": (32, 4, 1200),
    "s2": (40, 4, 1100),
    "s3": (48, 4, 1000),
    "s4": (64, 4, 800),
    "s5": (96, 5, 600),
}
VARIANTS = ("", "small")
RATE = 2.0**-7


def get_config(variant: str = "") -> ConfigDict:
    if variant not in VARIANTS:
        raise ValueError(
            f"configs/sweeps/scaling_law.py knows {', '.join(map(repr, VARIANTS))}, not {variant!r}"
        )
    c = mup_lr.get_config(variant)
    c.name = f"scaling law, {variant}".rstrip(", ")
    c.optimizer.learning_rate = c.optimizer.end_learning_rate = RATE
    if variant:
        c.checkpoint.every = 100
        c.evals.validation_loss.every = 50
    else:
        c.train.steps = 300_000
        c.checkpoint.every = 5_000
        c.checkpoint.keep_every = 5_000
        c.evals.validation_loss.every = 5_000
    return c


def members(variant: str, workdir: pathlib.Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields (name, overrides) of each size."""
    if variant:
        for name, (width, layers, steps) in SMALL.items():
            shape = sizes.llama(width, layers, mup_lr.SMALL_HEADS, mup_lr.SMALL_RATIO)
            yield name, {**shape, **mup_lr.prepared(workdir), "train.steps": steps}
        return
    for name, (width, layers) in TABLE_15.items():
        yield name, sizes.llama(width, layers, mup_lr.HEADS)


prepare = mup_lr.prepare
