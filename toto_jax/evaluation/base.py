"""What an evaluator is: built from a config dict, it yields named results for a set of parameters."""

from collections.abc import Iterator
from typing import Protocol

from toto_jax.evaluation.results import Result
from toto_jax.tree import Params


class Evaluator(Protocol):
    """One protocol of measurement."""

    def run(self, params: Params) -> Iterator[tuple[str, Result]]:
        """Yields (name, result) pairs; names are unique within one run."""
