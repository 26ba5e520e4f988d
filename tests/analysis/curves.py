"""Runs as analyses know them, without files."""

from typing import Any

import numpy as np

from toto_jax.analysis.run_curves import RunCurve


def curve(name: str, losses: dict[int, float], **changes: Any) -> RunCurve:
    """Returns a run of 100 steps with these losses, of training and of held-out clips."""
    steps, values = np.array(list(losses), np.int64), np.array(list(losses.values()), np.float64)
    values_of = {
        "name": name, "parameters": 1_000, "layers": 2, "width": 64, "learning_rate": 2.0**-7, "batch_size": 4,
        "tokens": 10, "macs": 500.0, "steps": 100, "codes": "9 codes", "recipe": "100 steps", "diverged": False,
        "held_out": True, "step_P": steps, "loss_P": values, "train_step_S": steps, "train_loss_S": values + 1,
    }  # fmt: skip
    return RunCurve(**{**values_of, **changes})
