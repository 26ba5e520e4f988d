"""Two real processes of four devices each, over loopback: they train, stop together, go on, and equal one process."""

import pathlib
import signal
import socket
import subprocess
import time

import numpy as np
import pytest

import toto_jax
from tests.processes import TINY, start
from toto_jax.errors import DataError, JobError, Preempted
from toto_jax.training.checkpoint import list_steps
from toto_jax.training.metrics import read_metrics


def place(index: int, port: int) -> dict[str, str]:
    return {
        "JAX_COORDINATOR_ADDRESS": f"localhost:{port}", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": str(index),
    }  # fmt: skip


def pair(*arguments: str) -> list[subprocess.Popen[str]]:
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
    return [start("main", *arguments, devices=4, variables=place(index, port)) for index in range(2)]


def ends(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    return [(process.returncode, output) for process, output in zip(processes, outputs, strict=True)]


def arguments_of(finished: pathlib.Path, workdir: pathlib.Path, *more: str) -> list[str]:
    return [
        *TINY, f"--workdir={workdir}", f"--config.data.shards={finished / 'shards'}",
        f"--config.tokenizer.path={finished / 'tokenizer'}", "--config.mesh.slices=2", *more,
    ]  # fmt: skip


def test_two_processes_stop_at_one_step_and_go_on_to_what_one_process_reached(
    finished: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    # Evaluations after each step leave time for the signal.
    arguments = arguments_of(
        finished, tmp_path, "--config.checkpoint.every=1000", "--config.evals.validation_loss.every=1"
    )
    processes = pair(*arguments)
    deadline = time.monotonic() + 240
    while not any(line["kind"] == "train" for line in read_metrics(tmp_path)):
        assert all(process.poll() is None for process in processes), ends(processes)
        assert time.monotonic() < deadline
        time.sleep(0.05)
    processes[1].send_signal(signal.SIGTERM)
    stopped = ends(processes)
    assert [code for code, _ in stopped] == [Preempted.exit_code] * 2, stopped
    (step,) = list_steps(tmp_path / "checkpoints")
    assert 0 < step < 12
    assert all(f"after step {step};" in output for _, output in stopped)

    done = ends(pair(*arguments))
    assert [code for code, _ in done] == [0, 0], done
    assert f"Going on from step {step}" in done[0][1]
    assert "Going on" not in done[1][1], "one process talks"
    assert (tmp_path / "report.html").is_file()
    assert list_steps(tmp_path / "checkpoints")[-1] == 12
    losses, alone = (
        np.array([line["loss"] for line in read_metrics(folder) if line["kind"] == "train"])
        for folder in (tmp_path, finished)
    )
    np.testing.assert_allclose(losses, alone, rtol=1e-4)
    toto = toto_jax.from_pretrained(tmp_path, tokenizer=finished / "tokenizer")
    assert toto.step == 12


def test_who_is_missing_is_named_in_time(tmp_path: pathlib.Path) -> None:
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
    first = start(
        "main", *TINY, f"--workdir={tmp_path}", "--join_seconds=2", devices=1, variables=place(0, port)
    )
    ((code, output),) = ends([first])
    assert code == JobError.exit_code
    assert "1 of 2 processes did not come within 2 s: 1." in output


@pytest.mark.parametrize("media", ["/nowhere"])
def test_both_processes_end_with_the_first_ones_error(tmp_path: pathlib.Path, media: str) -> None:
    mesh = [f"--config.tokenizer.training.mesh.{key}" for key in ("fsdp=1", "data=-1")]
    done = ends(pair(*TINY, *mesh, f"--workdir={tmp_path}", f"--config.data.media={media}"))
    assert [code for code, _ in done] == [DataError.exit_code] * 2, done
    assert media in done[0][1]
    assert "Process 0: " in done[1][1]
