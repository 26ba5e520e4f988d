import pathlib
from collections.abc import Iterator

import pytest

from tests.evaluation.toy_context import make_context
from toto_jax.errors import ConfigError, DataError
from toto_jax.evaluation.registry import build_evaluator, check_evaluator, run_evaluator
from toto_jax.evaluation.validation_loss import ValidationLoss

ENTRY = dict(type="validation_loss", every=10, clips=2, baseline_clips=2, batch_size=2)


class Failing:
    def __init__(self, error: Exception):
        self.error = error

    def run(self, params: object) -> Iterator[tuple[str, float]]:
        yield "before", 1.0
        raise self.error


def test_an_entry_becomes_its_evaluator(tmp_path: pathlib.Path) -> None:
    assert isinstance(build_evaluator("loss", ENTRY, "next_token", make_context(tmp_path)), ValidationLoss)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({**ENTRY, "type": "validation_los"}, "did you mean 'validation_loss'"),
        ({**ENTRY, "clip": 3}, "config.evals.loss has no key 'clip'; did you mean 'clips'"),
        ({key: value for key, value in ENTRY.items() if key != "every"}, "config.evals.loss lacks 'every'"),
        ({key: value for key, value in ENTRY.items() if key != "clips"}, "config.evals.loss lacks clips"),
    ],
)
def test_mistakes_name_the_entry_and_the_nearest_key(entry: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_evaluator("loss", entry, "next_token")


def test_an_evaluator_of_another_task_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="measures next_token, patch_to_code, but config.task is 'tokenizer'"
    ):
        check_evaluator("loss", ENTRY, "tokenizer")


@pytest.mark.parametrize(
    ("error", "kind"), [(DataError("no clips"), DataError), (ZeroDivisionError("x"), RuntimeError)]
)
def test_a_failure_names_the_evaluator_and_the_step(error: Exception, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="'loss'.*step 7") as caught:
        list(run_evaluator("loss", Failing(error), {}, 7))
    assert caught.value.__cause__ is error
