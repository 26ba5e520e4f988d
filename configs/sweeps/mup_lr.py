"""Learning rates at many widths under muP (paper, Figure 11): one rate should be the best for all.

  python -m launch.sweep --sweep=configs/sweeps/mup_lr.py --workdir=... --backend=slurm --parallel=16
  python -m launch.sweep --sweep=configs/sweeps/mup_lr.py:small --workdir=runs/mup_lr --backend=local
  python -m toto_jax.analysis.learning_rates runs/mup_lr --out=runs/mup_lr_figure

The paper's grid: widths 64 to 1,536 with 16 heads, rates 2^-20, 2^-18 and 2^-16 to 1, on codes of the VQGAN with 16,384
codes. It says neither the base width nor depth or steps; here the base is the narrowest width, so that it is nobody's
smaller, the depth 12, and 10,000 steps of 256 clips. The paper's best rate is 2^-7. Not run by us at this size.

`standard` is `small` without muP, for comparison. Both take an hour or so on two cores: widths 32 to 256 (4 layers, 4
heads), rates 2^-10 to 2^-4, 120 steps of 8 procedural clips, which the first member's preparation renders once.
"""

import pathlib
from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from configs import base as base_config
from configs import quickstart, sizes
from configs.tokenizers import vqgan

WIDTHS = (64, 128, 256, 512, 768, 1024, 1536)
EXPONENTS = (-20, -18, *range(-16, 1))
LAYERS, HEADS = 12, 16
SMALL_WIDTHS = (32, 64, 128, 256)
SMALL_EXPONENTS = range(-10, -3)
SMALL_LAYERS, SMALL_HEADS, SMALL_RATIO = 4, 4, 3
# A rate that is the best here is one of these bases: who takes it over takes the base over too.
BASE = sizes.base(WIDTHS[0], LAYERS, HEADS)
SMALL_BASE = sizes.base(SMALL_WIDTHS[0], SMALL_LAYERS, SMALL_HEADS, SMALL_RATIO)
VARIANTS = ("", "small", "standard")


def get_config(variant: str = "") -> ConfigDict:
    if variant not in VARIANTS:
        raise ValueError(f"configs/sweeps/mup_lr.py knows {', '.join(map(repr, VARIANTS))}, not {variant!r}")
    if variant:
        return _small(mup=variant == "small")
    c = base_config.get_config()
    c.name = "mup lr"
    c.clips.size = 256
    c.tokenizer = vqgan.get_config("16384").tokenizer
    c.train.steps = 10_000
    c.optimizer.warmup_steps = 500
    c.checkpoint.every = 2_000
    c.evals.validation_loss.every = 0
    c.update_from_flattened_dict(BASE)
    return c


def _small(mup: bool) -> ConfigDict:
    c = quickstart.get_config()
    c.name = "mup lr, small"
    c.train.steps = 120
    c.train.log_every = 20
    c.optimizer.warmup_steps = 12
    c.checkpoint.every = 120
    c.checkpoint.keep = 1
    del c.evals.probes
    del c.evals.rollout
    c.evals.validation_loss.every = 0
    c.report = False
    if mup:
        c.update_from_flattened_dict(SMALL_BASE)
    return c


def members(variant: str, workdir: pathlib.Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields (name, overrides): `w64-lr7` is width 64 at a rate of 2^-7."""
    for width in SMALL_WIDTHS if variant else WIDTHS:
        if variant:
            shape = sizes.llama(width, SMALL_LAYERS, SMALL_HEADS, SMALL_RATIO) | prepared(workdir)
        else:
            shape = sizes.llama(width, LAYERS, HEADS)
        for exponent in SMALL_EXPONENTS if variant else EXPONENTS:
            yield f"w{width}-lr{-exponent}", {**shape, "optimizer.learning_rate": 2.0**exponent}


def prepared(workdir: pathlib.Path) -> dict[str, Any]:
    """Returns where members find the tokenizer and the shards that `prepare` has made."""
    folder = workdir / "prepared"
    return {
        "data.media": "",
        "data.shards": str(folder / "shards"),
        "tokenizer.path": str(folder / "tokenizer"),
        "tokenizer.training": None,
    }


def prepare(variant: str, workdir: pathlib.Path) -> list[list[str]]:
    """Returns the commands that run once, before any member: a tokenizer and shards of the procedural clips."""
    if not variant:
        return []
    folder, config = workdir / "prepared", "--config=configs/quickstart.py"
    return [
        ["python", "-m", "toto_jax.main", f"{config}:tokenizer", f"--workdir={folder / 'tokenizer_run'}",
         f"--config.tokenizer.path={folder / 'tokenizer'}"],
        ["python", "-m", "toto_jax.pretokenize", config, f"--workdir={folder}"],
    ]  # fmt: skip
