"""Evaluator types by name: `config.evals.<name> = ConfigDict(type=..., every=..., **its own keys)`."""

from collections.abc import Iterator, Mapping
from typing import Any

from toto_jax.config import section
from toto_jax.errors import ConfigError, TotoError, nearest
from toto_jax.evaluation.base import Evaluator
from toto_jax.evaluation.context import EvaluationContext
from toto_jax.evaluation.patch_loss import PatchLoss
from toto_jax.evaluation.probes import Probes, ProbesConfig
from toto_jax.evaluation.reconstruction import Reconstruction, ReconstructionConfig
from toto_jax.evaluation.results import Result
from toto_jax.evaluation.rollout import Rollout, RolloutConfig
from toto_jax.evaluation.validation_loss import ValidationLoss, ValidationLossConfig
from toto_jax.tasks.patches import NO_CONTINUATION, PATCH_TASKS
from toto_jax.tree import Params

# type -> (its settings, what it is, tasks it measures)
_TYPES: Mapping[str, tuple[type, type, tuple[str, ...]]] = {
    "validation_loss": (ValidationLossConfig, ValidationLoss, ("next_token", "patch_to_code")),
    "patch_loss": (ValidationLossConfig, PatchLoss, ("patch_to_patch",)),
    "probes": (ProbesConfig, Probes, ("next_token", *PATCH_TASKS)),
    "rollout": (RolloutConfig, Rollout, ("next_token",)),
    "reconstruction": (ReconstructionConfig, Reconstruction, ("tokenizer",)),
}


def check_evaluator(name: str, entry: Mapping[str, Any], task: str) -> tuple[type, Any]:
    """Returns (evaluator class, its settings) of one entry of config.evals, without building it.

    Raises:
      ConfigError: on an unknown type or key, or a type that doesn't measure this task.
    """
    for key in ("type", "every"):
        if key not in entry:
            raise ConfigError(f"config.evals.{name} lacks {key!r}")
    kind = entry["type"]
    if kind not in _TYPES:
        raise ConfigError(f"config.evals.{name}.type={kind!r} is unknown; {nearest(kind, _TYPES)}")
    settings_class, evaluator_class, tasks = _TYPES[kind]
    if task not in tasks:
        why = f": {NO_CONTINUATION}" if kind == "rollout" and task in PATCH_TASKS else ""
        raise ConfigError(
            f"config.evals.{name} measures {', '.join(tasks)}, but config.task is {task!r}{why}"
        )
    own = {key: value for key, value in entry.items() if key not in ("type", "every")}
    return evaluator_class, section(settings_class, own, f"evals.{name}")


def build_evaluator(name: str, entry: Mapping[str, Any], task: str, context: EvaluationContext) -> Evaluator:
    """Returns the evaluator of one entry of config.evals; see `check_evaluator` for the errors."""
    evaluator_class, settings = check_evaluator(name, entry, task)
    return evaluator_class(settings, context)


def run_evaluator(name: str, evaluator: Evaluator, params: Params, step: int) -> Iterator[tuple[str, Result]]:
    """Yields the evaluator's results; a failure is raised again with its name and the step."""
    try:
        yield from evaluator.run(params)
    except TotoError as error:
        raise type(error)(f"Evaluator {name!r} at step {step}: {error}") from error
    except Exception as error:
        raise RuntimeError(f"Evaluator {name!r} failed at step {step}: {error}") from error
