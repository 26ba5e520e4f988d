from toto_jax.evaluation.descriptions import EVALUATORS, TASKS
from toto_jax.evaluation.registry import _TYPES


def test_every_evaluator_says_what_it_is_for() -> None:
    assert set(EVALUATORS) == set(_TYPES)
    assert all(one.purpose and one.intro and one.title for one in EVALUATORS.values())


def test_tasks_are_those_that_evaluators_measure() -> None:
    measured = {kind: set(tasks) for kind, (_, _, tasks) in _TYPES.items()}
    for kind, one in EVALUATORS.items():
        assert set(one.tasks) <= measured[kind] <= set(TASKS)
