"""Commands of the package as real processes, at sizes for tests."""

import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Mapping

import jax

from toto_jax.training.checkpoint import list_steps

ROOT = pathlib.Path(__file__).resolve().parents[1]
# The quickstart at a size for tests: everything is real, nothing is learned well.
TINY = [
    "--config=configs/quickstart.py",
    "--config.clips.synthetic_clips=60",
    "--config.clips.files_per_shard=16",
    "--config.clips.size=16",
    "--config.clips.frames=4",
    "--config.tokenizer.width=8",
    "--config.tokenizer.codebook_size=32",
    "--config.tokenizer.training.clips.synthetic_clips=60",
    "--config.tokenizer.training.clips.size=16",
    "--config.tokenizer.training.train.steps=4",
    "--config.tokenizer.training.train.batch_size=8",
    "--config.tokenizer.training.optimizer.warmup_steps=1",
    "--config.model.layers=2",
    "--config.model.d_model=32",
    "--config.model.head_dim=8",
    "--config.model.d_ff=64",
    "--config.train.steps=12",
    "--config.train.log_every=1",
    "--config.optimizer.warmup_steps=2",
    "--config.checkpoint.every=3",
    "--config.evals.probes.train_clips=32",
    "--config.evals.probes.steps=2",
    "--config.evals.probes.batch_size=8",
    "--config.evals.validation_loss.every=6",
    "--config.evals.rollout.prompt_frames=2",
    "--config.evals.rollout.frames=6",
    "--config.evals.rollout.clips=2",
]


def environment(devices: int) -> dict[str, str]:
    return {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
    }


def start(
    module: str,
    *arguments: str,
    devices: int = 1,
    variables: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", f"toto_jax.{module}", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**environment(devices), **(variables or {})},
        stdout=pipe,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end(process: subprocess.Popen[str], exit_code: int) -> str:
    """Returns what a process said that should end with this code, and without a traceback."""
    output, _ = process.communicate(timeout=240)
    assert process.returncode == exit_code, output[-4000:]
    assert "Traceback" not in output
    return output


def run(module: str, *arguments: str, devices: int = 1) -> str:
    process = start(module, *arguments, devices=devices)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output[-4000:]
    return output


def kill_after(step: int, workdir: pathlib.Path, *arguments: str, devices: int = 1) -> None:
    """Starts a run and kills it, with no chance to clean up, once a checkpoint of `step` is complete."""
    process = start("main", *arguments, devices=devices)
    folder = workdir / "checkpoints"
    deadline = time.monotonic() + 240
    while not any(step <= found for found in list_steps(folder)):
        assert process.poll() is None, process.communicate()[0][-4000:]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
