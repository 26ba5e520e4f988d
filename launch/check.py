"""Checks resolved configs as a run would before its first step; a process of its own, as this needs JAX.

Reads `{name: config}` as JSON from its standard input, and prints a line for each config that can't be.
"""

import json
import sys

from toto_jax.config import from_json
from toto_jax.errors import ConfigError
from toto_jax.evaluation.registry import check_evaluator
from toto_jax.experiment import build_task
from toto_jax.settings import parse


def check(text: str) -> None:
    """Builds a config's task, which needs neither devices nor files. How it is laid over devices is left to them.

    Raises:
      ConfigError: on anything in it that can't be.
    """
    settings = parse(from_json(text))
    build_task(settings, "cpu")
    for name, entry in settings.evals.items():
        check_evaluator(name, entry, settings.task)


def main(configs: dict[str, str]) -> int:
    """Checks all and returns an exit code."""
    wrong = 0
    for name, text in configs.items():
        try:
            check(text)
        except ConfigError as error:
            wrong += 1
            print(f"{name}: {error}")
    return ConfigError.exit_code if wrong else 0


if __name__ == "__main__":
    sys.exit(main(json.load(sys.stdin)))
