import dataclasses
import pathlib

import jax
import numpy as np
import pytest

from tests.evaluation.toy_context import make_context, write_images
from toto_jax.errors import ConfigError
from toto_jax.evaluation import rollout as rollout_module
from toto_jax.evaluation.context import Split
from toto_jax.evaluation.results import Animation, Picture
from toto_jax.evaluation.rollout import Rollout, RolloutConfig

CONFIG = RolloutConfig(
    clips=3, prompt_frames=2, frames=6, temperature=1.0, top_k=0, top_p=1.0, frames_per_second=4.0
)


def test_it_yields_an_animation_a_sheet_and_numbers(tmp_path: pathlib.Path) -> None:
    context = make_context(tmp_path)
    results = dict(Rollout(CONFIG, context).run(context.task.init(jax.random.key(0))))
    animation, sheet = results["continuations"], results["contact_sheet"]
    assert isinstance(animation, Animation)
    assert isinstance(sheet, Picture)
    assert len(animation.frames_FHWC) == 7, "six frames, the last one held a moment longer"
    assert 0 <= results["percent_codes_changing"] <= 100


def test_images_have_nothing_to_go_on(tmp_path: pathlib.Path) -> None:
    context = make_context(tmp_path)
    write_images(tmp_path / "photos", [[0, 1, 2, 3]], {})
    context = dataclasses.replace(context, splits={"photos": {"validation": Split(tmp_path / "photos")}})
    assert not list(Rollout(CONFIG, context).run(context.task.init(jax.random.key(0))))


def test_a_perfect_dreamer_has_the_truths_numbers(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the truth in the sampler's place nothing differs from the truth."""
    context = make_context(tmp_path)
    truth, _ = context.splits["toy"]["validation"].read(3, "video")
    monkeypatch.setattr(
        rollout_module, "continue_frames", lambda *positional, **named: truth[:, 2:].astype(np.int32)
    )
    config = dataclasses.replace(CONFIG, frames=4)
    results = dict(Rollout(config, context).run(context.task.init(jax.random.key(0))))
    assert results["percent_codes_changing"] == results["percent_codes_changing_in_truth"]
    assert results["psnr_db"] == np.inf
    # Of clips 0, 16 and 32 (even, so of class 0) every code changes with every frame.
    assert results["percent_codes_changing_in_truth"] == 100
    assert results["psnr_db_of_last_frame_held"] < 30


@pytest.mark.parametrize("prompt_frames", [0, 6, 9])
def test_a_prompt_must_leave_something_to_dream(prompt_frames: int, tmp_path: pathlib.Path) -> None:
    config = dataclasses.replace(CONFIG, prompt_frames=prompt_frames)
    with pytest.raises(ConfigError, match="0 < prompt_frames < frames"):
        Rollout(config, make_context(tmp_path))
