"""Finished runs read back for an analysis of several: size, compute and losses of each, from its workdir alone."""

import dataclasses
import math
import pathlib
from collections.abc import Iterator, Sequence

import jax
import numpy as np

from toto_jax.analysis.compute import FLOPS_PER_MAC
from toto_jax.analysis.run_curves import RunCurve
from toto_jax.config import from_json
from toto_jax.errors import ConfigError, DataError, TotoError
from toto_jax.evaluation.run_files import RunFiles, read_run
from toto_jax.experiment import build_task, work_of
from toto_jax.settings import Settings, parse
from toto_jax.training.metrics import DIVERGED, read_metrics
from toto_jax.tree import count

_CONFIG = "config.json"


def gather(words: Sequence[str]) -> tuple[list[RunCurve], dict[str, str]]:
    """Reads runs.

    Args:
      words: workdirs, and folders that hold some at any depth.

    Returns:
      The runs in order of size, and for each that is of no use, why.

    Raises:
      ConfigError: if there are no words, or one names no run.
    """
    if not words:
        raise ConfigError("Name workdirs, or the folder of a sweep, e.g. runs/scaling")
    folders: dict[pathlib.Path, None] = {}
    for word in words:
        found = dict.fromkeys(_workdirs(pathlib.Path(word)))
        if not found:
            raise ConfigError(f"{word} holds no run: there is no {_CONFIG} in it, nor in any folder below")
        folders.update(found)
    names = _names(list(folders))
    runs, left_out = [], {}
    for folder, name in names.items():
        try:
            runs.append(_read(folder, name))
        except (TotoError, ValueError, KeyError, TypeError) as error:
            left_out[name] = str(error)
    return sorted(runs, key=lambda run: (run.macs, run.learning_rate, run.name)), left_out


def _workdirs(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields the workdirs in a folder; what lies within a run, like that of its tokenizer, is none of its own."""
    if (folder / _CONFIG).is_file():
        yield folder
    elif folder.is_dir():
        for inner in sorted(folder.iterdir()):
            if inner.is_dir() and not inner.is_symlink():
                yield from _workdirs(inner)


def _names(folders: Sequence[pathlib.Path]) -> dict[pathlib.Path, str]:
    """Returns the folders' own names, or their paths where names come twice."""
    own = [folder.resolve().name for folder in folders]
    return {
        folder: name if own.count(name) == 1 else str(folder)
        for folder, name in zip(folders, own, strict=True)
    }


def _read(workdir: pathlib.Path, name: str) -> RunCurve:
    """Returns one run.

    Raises:
      TotoError: if it can't be read, is of another task, or started with parameters that others had trained.
    """
    files = read_run(workdir)
    settings = parse(from_json((workdir / _CONFIG).read_text()))
    if settings.task != "next_token":
        raise DataError(f"its task is {settings.task!r}; laws and rates are those of 'next_token'")
    if settings.init_from:
        raise DataError(
            f"it started with the parameters of {settings.init_from}, whose compute isn't its own"
        )
    # Sizes are the same whatever computes attention, and some ways to do so are not known on this machine.
    model = {key: "auto" if key == "attention" else value for key, value in settings.model.items()}
    task = build_task(dataclasses.replace(settings, model=model), "cpu")
    work = work_of(task, settings)
    training = files.logged("code_loss" if any("code_loss" in line for line in files.training) else "loss")
    step_P, loss_P = _held_out(files)
    held_out = bool(len(step_P))
    return RunCurve(
        name=name,
        parameters=count(jax.eval_shape(task.init, jax.random.key(0))),
        layers=settings.model["layers"],
        width=settings.model["d_model"],
        learning_rate=settings.optimizer.learning_rate,
        batch_size=settings.train.batch_size,
        tokens=work.per_example,
        macs=work.flops / FLOPS_PER_MAC,
        steps=settings.train.steps,
        codes=_codes(settings),
        recipe=_recipe(settings),
        diverged=_diverged(workdir),
        held_out=held_out,
        step_P=step_P if held_out else training[0],
        loss_P=loss_P if held_out else training[1],
        train_step_S=training[0],
        train_loss_S=training[1],
    )


def _recipe(settings: Settings) -> str:
    steps = f"{settings.train.steps:,} steps of {settings.train.batch_size:,} clips"
    if not settings.mup.enabled:
        return steps
    # The same rate is another one with another base.
    base = ", ".join(f"{key} {size}" for key, size in settings.mup.base.items() if size)
    return f"{steps} under muP with a base of {base or 'its own size'}"


def _codes(settings: Settings) -> str:
    grid = settings.geometry
    return f"{grid.frames} x {grid.height} x {grid.width} codes out of {settings.tokenizer.codebook_size:,}"


def _held_out(files: RunFiles) -> tuple[np.ndarray, np.ndarray]:
    """Returns (steps, losses) of held-out clips: the mean over sources at steps at which all were measured."""
    losses: dict[str, dict[int, float]] = {}
    for name, history in files.results.items():
        if files.kind(name) == "validation_loss":
            for key in history.scalars:
                # The loss of a source stands beside its baseline; that of a frame does not.
                if key.endswith("loss") and f"{key.removesuffix('loss')}unigram_loss" in history.scalars:
                    losses[f"{name} {key}"] = dict(history.scalars[key])
    steps = sorted(set.intersection(*map(set, losses.values()))) if losses else []
    means = {step: math.fsum(one[step] for one in losses.values()) / len(losses) for step in steps}
    finite = {step: loss for step, loss in means.items() if math.isfinite(loss) and step > 0}
    return np.array(list(finite), np.int64), np.array(list(finite.values()), np.float64)


def _diverged(workdir: pathlib.Path) -> bool:
    lines = [line for line in read_metrics(workdir) if line["kind"] in ("train", DIVERGED)]
    return any(line["kind"] == DIVERGED or not math.isfinite(line["loss"]) for line in lines[-1:])
