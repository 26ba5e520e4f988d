import os
import pathlib
import signal
from typing import Any

import jax
import numpy as np
import pytest

from tests.training.toy import batches, trainer
from toto_jax.errors import ConfigError, DivergedError, Preempted
from toto_jax.sharding.mesh import MeshConfig
from toto_jax.training.checkpoint import CheckpointConfig, Checkpoints
from toto_jax.training.loop import Hook, Trainer
from toto_jax.training.metrics import MetricWriter, read_metrics


def store(folder: pathlib.Path, every: int = 3) -> Checkpoints:
    return Checkpoints(folder / "checkpoints", CheckpointConfig(every, 2, 0), {"config": {}})


def fit(trained: Trainer, folder: pathlib.Path, **more: Any) -> Any:
    checkpoints = store(folder)
    writer = MetricWriter(folder, checkpoints.latest_step or 0)
    try:
        return trained.fit(batches(trained), checkpoints=checkpoints, writer=writer, **more)
    finally:
        writer.close()
        checkpoints.close()


def losses(folder: pathlib.Path) -> dict[int, float]:
    return {line["step"]: line["loss"] for line in read_metrics(folder) if line["kind"] == "train"}


def test_the_loss_falls_and_every_step_is_logged_once(tmp_path: pathlib.Path) -> None:
    fit(trainer(steps=30), tmp_path)
    logged = losses(tmp_path)
    assert list(logged) == list(range(1, 31))
    assert logged[30] < 0.7 * logged[1]


def test_a_stopped_run_goes_on_bitwise(tmp_path: pathlib.Path) -> None:
    """SIGTERM after step 4 saves; the same call goes on; nothing differs from a run that was never stopped."""
    whole = fit(trainer(), tmp_path / "whole")

    def stop(step: int, state: Any) -> None:
        if step == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Preempted, match="after step 4"):
        fit(trainer(), tmp_path / "stopped", hooks=[Hook(4, stop)])
    resumed = fit(trainer(), tmp_path / "stopped")
    jax.tree.map(np.testing.assert_array_equal, whole, resumed)
    assert losses(tmp_path / "whole") == losses(tmp_path / "stopped")
    times = [line for line in read_metrics(tmp_path / "stopped") if line["kind"] == "goodput"]
    assert [line["step"] for line in times] == [4, whole.step]
    assert all(line["step_seconds"] > 0 and line["compile_seconds"] > 0 for line in times)


def test_a_run_goes_on_on_other_devices(tmp_path: pathlib.Path) -> None:
    whole = fit(trainer(), tmp_path / "whole")
    with pytest.raises(Preempted):
        fit(
            trainer(devices=8, mesh=MeshConfig(1, 1, 4, 1, 2)),
            tmp_path / "moved",
            hooks=[Hook(4, lambda step, state: os.kill(os.getpid(), signal.SIGTERM))],
        )
    resumed = fit(trainer(devices=2), tmp_path / "moved")
    np.testing.assert_allclose(whole.params["matrix"], resumed.params["matrix"], rtol=1e-4, atol=1e-6)


def test_a_finished_run_is_not_trained_further(tmp_path: pathlib.Path) -> None:
    first = fit(trainer(), tmp_path)
    again = fit(trainer(), tmp_path)
    jax.tree.map(np.testing.assert_array_equal, first, again)


def test_a_run_starts_with_given_parameters_and_goes_on_without_them(tmp_path: pathlib.Path) -> None:
    """The state is that of given parameters and of nothing else; a run with a checkpoint doesn't ask for them."""
    trained = trainer(devices=8, mesh=MeshConfig(1, 1, 4, 1, 2), ema=0.9)
    given = {"matrix": np.arange(64, dtype=np.float32).reshape(8, 8), "gain": np.full(8, 2, np.float32)}

    def read() -> Any:
        return jax.device_put(given, trained.state_shardings.params)

    read_once = read()
    state = trained.init(read_once)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(read_once)), "no second copy is kept"
    for params in (state.params, state.ema):
        jax.tree.map(np.testing.assert_array_equal, params, given)
    for leaf in jax.tree.leaves((state.opt_state, state.step, state.bad_steps, state.bad_steps_in_a_row)):
        assert not np.any(leaf)
    assert state.params["matrix"].sharding == trained.state_shardings.params["matrix"]
    whole = fit(trainer(), tmp_path / "whole", initial=lambda: jax.device_put(given))
    assert not np.allclose(whole.params["gain"], fit(trainer(), tmp_path / "other").params["gain"], atol=0.5)
    with pytest.raises(Preempted):
        fit(
            trainer(),
            tmp_path / "stopped",
            initial=lambda: jax.device_put(given),
            hooks=[Hook(4, lambda step, state: os.kill(os.getpid(), signal.SIGTERM))],
        )
    resumed = fit(trainer(), tmp_path / "stopped", initial=lambda: pytest.fail("it was asked for again"))
    jax.tree.map(np.testing.assert_array_equal, whole, resumed)


def test_bad_steps_in_a_row_stop_the_run_with_advice(tmp_path: pathlib.Path) -> None:
    trained, writer = trainer(max_bad_steps=3), MetricWriter(tmp_path, 0)
    with pytest.raises(
        DivergedError, match="Steps 3 to 5 .*max_bad_steps=3 .* lower config.optimizer.learning_rate"
    ):
        trained.fit(batches(trained, bad_steps=(2, 3, 4)), writer=writer)
    writer.close()
    last = read_metrics(tmp_path)[-1]
    assert (last["kind"], last["step"], last["bad_steps_in_a_row"]) == ("diverged", 5, 3)


def test_scattered_bad_steps_are_survived(tmp_path: pathlib.Path) -> None:
    trained = trainer(max_bad_steps=2)
    state = trained.fit(batches(trained, bad_steps=(1, 3, 5)))
    assert int(state.bad_steps) == 3
    assert np.isfinite(state.params["matrix"]).all()


def test_hooks_run_when_due_and_at_the_end(tmp_path: pathlib.Path) -> None:
    calls: dict[str, list[int]] = {"every": [], "end": []}
    trained = trainer(steps=7)
    trained.fit(
        batches(trained),
        hooks=[
            Hook(3, lambda step, state: calls["every"].append(step)),
            Hook(0, lambda step, state: calls["end"].append(step)),
        ],
    )
    assert calls == {"every": [3, 6, 7], "end": [7]}


def test_a_batch_that_does_not_divide_by_the_devices_names_sizes_that_do() -> None:
    with pytest.raises(ConfigError, match="of size 12 .* fsdp 8 = 8; 8 or 16 would"):
        trainer(devices=8, batch_size=12)
    with pytest.raises(ConfigError, match="of size 4 .* 8 would"):
        trainer(devices=8, microbatches=4)


def test_impossible_train_settings_are_errors() -> None:
    with pytest.raises(ConfigError, match="batch_size=16 doesn't divide into 3"):
        trainer(microbatches=3)
    with pytest.raises(ConfigError, match="config.train.log_every must be 1 or more"):
        trainer(log_every=0)
