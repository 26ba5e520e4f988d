"""What a workdir holds of a run, read without the rest of the package: nothing is built, no device is
touched.
"""

import dataclasses
import json
import pathlib
import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np

from toto_jax.errors import DataError
from toto_jax.evaluation.descriptions import EVALUATORS
from toto_jax.evaluation.record import History, read_results
from toto_jax.training.goodput import recorded
from toto_jax.training.metrics import read_metrics

SUMMARY = "summary.json"


@dataclasses.dataclass(frozen=True)
class RunFiles:
    """Attributes:
    workdir: of the run.
    config: its resolved config, empty if there is none.
    training: the lines of its log that are about training.
    seconds: where the time of its attempts went, by `training.goodput`'s buckets; empty if none has ended.
    results: evaluator -> what it has found.
    summary: facts of the run that its config doesn't have: what `write_summary` wrote.
    """

    workdir: pathlib.Path
    config: Mapping[str, Any]
    training: list[dict[str, Any]]
    seconds: Mapping[str, float]
    results: Mapping[str, History]
    summary: Mapping[str, Any]

    def setting(self, key: str) -> Any:
        """Returns a value of the config by its dotted key; None if the config has none."""
        value: Any = self.config
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    @property
    def name(self) -> str:
        """What the config calls the run, or else its folder's name."""
        return str(self.setting("name") or self.workdir.name)

    @property
    def folder(self) -> str:
        """The workdir as a command takes it."""
        return shlex.quote(str(self.workdir))

    @property
    def step(self) -> int | None:
        """The last step that was logged or evaluated."""
        steps = [line["step"] for line in self.training[-1:]] + [
            found.step for found in self.results.values()
        ]
        return max(steps, default=None)

    def kind(self, evaluator: str) -> str:
        """Returns the type of an evaluator by its name in the config."""
        return self.setting(f"evals.{evaluator}.type") or evaluator

    def evaluators(self) -> list[str]:
        """Returns the names of all evaluators, those with results and those in the config, in the report's
        order.
        """
        known = list(EVALUATORS)
        names = {*self.results, *(self.setting("evals") or {})}
        kinds = {name: self.kind(name) for name in names}
        return sorted(
            names, key=lambda name: (known.index(kinds[name]) if kinds[name] in known else len(known), name)
        )

    def logged(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns (steps, values) of a key of the training log, finite values only."""
        lines = [line for line in self.training if isinstance(line.get(key), (int, float))]
        steps = np.array([line["step"] for line in lines], np.int64)
        values = np.array([line[key] for line in lines], np.float64)
        return steps[np.isfinite(values)], values[np.isfinite(values)]


def read_run(workdir: pathlib.Path) -> RunFiles:
    """Reads a workdir; what isn't there is empty.

    Raises:
      DataError: if a file is there that isn't what it should be.
    """
    lines = [line for line in read_metrics(workdir) if isinstance(line, dict)]
    training = [line for line in lines if line.get("kind") == "train"]
    attempts = [line for line in lines if line.get("kind") == "goodput"]
    config, summary = (_read_object(workdir / name) for name in ("config.json", SUMMARY))
    seconds = recorded(attempts) if attempts else {}
    return RunFiles(workdir, config, training, seconds, read_results(workdir), summary)


def write_summary(workdir: pathlib.Path, facts: Mapping[str, Any]) -> None:
    """Writes `summary.json`: facts of the run that its config doesn't have, as `started_from`, a checkpoint."""
    path = workdir / SUMMARY
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(dict(facts), indent=2) + "\n")
    temporary.replace(path)


def _read_object(path: pathlib.Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        values = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise DataError(f"{path} is not JSON ({error})") from error
    if not isinstance(values, dict):
        raise DataError(f"{path} should hold a JSON object, and holds a {type(values).__name__}")
    return values
