"""The curves of a training log: the loss beside that of held-out clips, large, and everything else, small."""

import numpy as np

from toto_jax.analysis.run_curves import thinned
from toto_jax.evaluation.descriptions import LOGGED
from toto_jax.evaluation.page import Html, element, joined, missing, plot, prose, readable
from toto_jax.evaluation.results import Curve
from toto_jax.evaluation.run_files import RunFiles
from toto_jax.training.goodput import shares
from toto_jax.training.metrics import duration

# Evaluator of a loss -> the baseline that stands beside its loss.
_BASELINES = {"validation_loss": "unigram_loss", "patch_loss": "zero_loss"}
# (steps, values)
Points = tuple[np.ndarray, np.ndarray]

_SMALL_WIDTH, _SMALL_HEIGHT = 260, 190
_EPOCHS = "epochs/"
# Of a plotted log: more can't be told apart, and make the page heavy.
_POINTS = 400
_NOT_PLOTTED = {"step", "kind", "bad_steps", "bad_steps_in_a_row", "step_seconds_p95", "step_seconds_max"} | {
    "mfu_full_attention", "tokens_per_second_per_device", "frames_per_second_per_device",
    "patches_per_second_per_device",
}  # fmt: skip


def training_curves(run: RunFiles) -> Html:
    """Returns the plots of a run's training log, or the command that makes one."""
    if not run.training:
        command = f"python -m toto_jax.main --config=<config file> --workdir={run.folder}"
        return missing("Nothing was logged yet. This trains, and goes on where it was stopped:", command)
    keys = list(dict.fromkeys(key for line in run.training for key in line if key not in _NOT_PLOTTED))
    loss = "code_loss" if "code_loss" in keys else "loss"
    y_label = "loss, nats per code" if loss == "code_loss" else "loss"
    held_out = _held_out(run)
    if held_out:
        caption = (
            "Loss on training clips and on held-out ones. Where the two part, the model is learning "
            "its training clips by heart."
        )
    else:
        caption = "Loss on training clips."
    parts = [
        plot(_over_steps({"training": thinned(*run.logged(loss), _POINTS), **held_out}, y_label, caption))
    ]
    skipped = run.training[-1].get("bad_steps", 0)
    if skipped:
        parts.append(prose(f"{skipped:.0f} steps were skipped, as their loss or gradient was not finite."))
    if run.seconds:
        parts.append(prose(f"Where {duration(sum(run.seconds.values()))} went: {shares(run.seconds)}."))
    smalls = []
    epochs = {
        key.removeprefix(_EPOCHS): thinned(*run.logged(key), _POINTS)
        for key in keys
        if key.startswith(_EPOCHS)
    }
    if epochs:
        smalls.append(
            plot(_over_steps(epochs, "", "Passes over each source of clips."), _SMALL_WIDTH, _SMALL_HEIGHT)
        )
    for key in keys:
        steps, values = thinned(*run.logged(key), _POINTS)
        if key not in (loss, "loss") and not key.startswith(_EPOCHS) and len(steps):
            curve = _over_steps({key: (steps, values)}, "", LOGGED.get(key, readable(key)))
            smalls.append(plot(curve, _SMALL_WIDTH, _SMALL_HEIGHT))
    parts.append(element("div", *smalls, class_="smalls"))
    return joined(parts)


def _held_out(run: RunFiles) -> dict[str, Points]:
    """Returns the history of the loss on held-out clips, for each evaluator and source that has one."""
    found = {}
    for name in run.evaluators():
        baseline = _BASELINES.get(run.kind(name))
        if baseline and name in run.results:
            history = run.results[name]
            for key, points in history.scalars.items():
                source = key.removesuffix("loss")
                # The loss of a source stands beside its baseline; that of a frame does not.
                if key.endswith("loss") and source + baseline in history.numbers:
                    found[f"{name} {source.rstrip('_')}".strip()] = np.array(points, np.float64).T
    if len(found) == 1:
        return dict.fromkeys(["held-out"], *found.values())
    return {f"held-out: {name}": points for name, points in found.items()}


def _over_steps(series: dict[str, Points], y_label: str, caption: str) -> Curve:
    """Returns curves whose steps differ over the union of their steps, NaN where one has no value."""
    x = np.unique(np.concatenate([steps for steps, _ in series.values()]))
    lines = {}
    for name, (steps, values) in series.items():
        lines[name] = np.full(len(x), np.nan)
        lines[name][np.searchsorted(x, steps)] = values
    return Curve(x, lines, "step", y_label, caption)
