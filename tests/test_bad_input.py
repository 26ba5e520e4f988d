"""What main says to input that can't be, and that it loses nothing: each case in a real process."""

import pathlib
import resource
import shutil

import pytest

from tests.processes import TINY, end, start
from toto_jax.errors import ConfigError, DataError, StorageError
from toto_jax.tokenizers.dvae import DVAE
from toto_jax.tokenizers.dvae_network import DVAEConfig
from toto_jax.tokenizers.loading import load_tokenizer, save_tokenizer
from toto_jax.training.checkpoint import list_steps


@pytest.fixture
def ready(finished: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """A workdir with tokenizer and shards, in which training can start."""
    for name in ("tokenizer", "shards"):
        shutil.copytree(finished / name, tmp_path / "run" / name)
    return tmp_path / "run"


def test_a_truncated_shard_stops_the_run_before_it_starts(ready: pathlib.Path) -> None:
    shard = sorted((ready / "shards" / "media" / "train").glob("*.array_record"))[1]
    shard.write_bytes(shard.read_bytes()[:-100])
    output = end(start("main", *TINY, f"--workdir={ready}"), DataError.exit_code)
    assert shard.name in output
    assert "bytes" in output
    assert not list_steps(ready / "checkpoints")


def test_a_missing_shard_stops_the_run_before_it_starts(ready: pathlib.Path) -> None:
    shard = sorted((ready / "shards" / "media" / "train").glob("*.array_record"))[0]
    shard.unlink()
    assert shard.name in end(start("main", *TINY, f"--workdir={ready}"), DataError.exit_code)


def test_another_tokenizer_stops_the_run_before_it_starts(ready: pathlib.Path) -> None:
    import jax

    wrote = load_tokenizer(ready / "tokenizer").spec
    config = DVAEConfig(**wrote.architecture)
    other = save_tokenizer(ready / "tokenizer", DVAE(config), DVAE(config).init(jax.random.key(5)))
    output = end(start("main", *TINY, f"--workdir={ready}"), DataError.exit_code)
    for named in (wrote, other):
        assert named.content_hash[:12] in output
    assert not list_steps(ready / "checkpoints")


def test_a_batch_that_the_devices_do_not_divide_is_refused_with_what_would_do(ready: pathlib.Path) -> None:
    arguments = [*TINY, f"--workdir={ready}", "--config.train.batch_size=12"]
    output = end(start("main", *arguments, devices=8), ConfigError.exit_code)
    assert "12" in output
    assert "8 or 16" in output


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux bounds the files of another process")
def test_a_disk_that_fills_up_keeps_the_checkpoints_before(ready: pathlib.Path) -> None:
    arguments = [*TINY, f"--workdir={ready}", "--config.report=False"]
    end(start("main", *arguments, "--config.train.steps=3"), 0)
    assert list_steps(ready / "checkpoints") == [3]
    (ready / "config.json").unlink()  # the same run with more steps, as far as this test cares
    # Files that may not grow are what a full disk looks like to a process.
    limit = (20_000, resource.RLIM_INFINITY)
    process = start("main", *arguments)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, limit)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == StorageError.exit_code, output[-4000:]
    # Orbax's threads log their own failures, before or after.
    (said,) = (line for line in output.split("\n") if line.startswith("StorageError: "))
    assert "Saving step 6" in said
    assert "the newest is step 3" in said
    assert list_steps(ready / "checkpoints") == [3]


def test_a_tokenizer_is_trained_and_saved_by_its_own_config(tmp_path: pathlib.Path) -> None:
    end(
        start(
            "main", "--config=configs/tokenizers/dvae.py", f"--workdir={tmp_path}", "--config.data.media=synthetic",
            "--config.clips.synthetic_clips=40", "--config.clips.size=16", "--config.tokenizer.halvings=2",
            "--config.dvae.crop=8", "--config.dvae.crop_from=(9, 12)", "--config.tokenizer.codebook_size=32",
            "--config.tokenizer.width=8", "--config.tokenizer.blocks=1",
            "--config.train.steps=2", "--config.train.batch_size=8", "--config.report=False",
        ),
        0,
    )  # fmt: skip
    assert load_tokenizer(tmp_path / "tokenizer").spec.codebook_size == 32
