"""LLaMA, GPT-2 and Mamba on the same tokens, then probed (paper, Table 6: 53.2, 48.5 and 40.7 % top-1 on ImageNet).

  python -m launch.sweep --sweep=configs/sweeps/architectures.py --workdir=... --backend=slurm --parallel=3
  python -m launch.sweep --sweep=configs/sweeps/architectures.py:small --workdir=runs/architectures --backend=local

About 280M parameters each, 400 epochs of ImageNet (configs/architectures.py); not run by us at this size. `small` are
three of about a million on procedural clips of one tokenizer, probed for the kind of motion.
"""

import pathlib
from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from configs import architectures, quickstart
from configs.sweeps import mup_lr

SMALL: dict[str, dict[str, Any]] = {
    "llama": {"model.layers": 4},
    "gpt2": {"model.layers": 4, "model.d_ff": 576, "model.positions": 514},
    "mamba": {"model.layers": 8, "model.channels": 256, "model.step_rank": 8},
}


def get_config(variant: str = "") -> ConfigDict:
    if variant not in ("", "small"):
        raise ValueError(f"configs/sweeps/architectures.py knows '' and 'small', not {variant!r}")
    if not variant:
        return architectures.get_config()
    c = quickstart.get_config()
    c.name = "architectures, small"
    del c.evals.rollout
    return c


def members(variant: str, workdir: pathlib.Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields (name, overrides) of each kind."""
    for kind in architectures.KINDS:
        if variant:
            changes = SMALL[kind] | mup_lr.prepared(workdir)
        else:
            model = architectures.get_config(kind).model
            changes = {f"model.{key}": value for key, value in model.items()}
        yield kind, {**changes, "name": f"{kind} {variant}".strip(), "model.kind": kind}


prepare = mup_lr.prepare
