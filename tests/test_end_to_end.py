"""The whole path in real processes: media, tokenizer, shards, training, a kill, evaluation, a notebook's calls."""

import hashlib
import json
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

import toto_jax
from tests.processes import ROOT, TINY, environment, kill_after, run, start
from toto_jax.data.manifest import verify
from toto_jax.errors import CheckpointError, ConfigError, DataError
from toto_jax.training.checkpoint import list_steps
from toto_jax.training.metrics import read_metrics


def tree_digest(folder: pathlib.Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.array_record"))
    }


def test_one_command_makes_everything(finished: pathlib.Path) -> None:
    for wanted in (
        "config.json", "metrics.jsonl", "report.html", "tokenizer/spec.json", "tokenizer/weights.safetensors",
        "shards/media/train/manifest.json", "shards/media/validation/manifest.json",
    ):  # fmt: skip
        assert (finished / wanted).is_file(), wanted
    assert list_steps(finished / "checkpoints") == [9, 12]
    report = (finished / "report.html").read_text()
    for phrase in ("quickstart", "data:image/gif;base64", "<svg"):
        assert phrase in report


def test_a_second_run_starts_training_at_once(finished: pathlib.Path) -> None:
    before = tree_digest(finished)
    output = run("main", *TINY, f"--workdir={finished}")
    assert "Going on from step 12" in output
    assert "Preparing the tokenizer" not in output
    assert tree_digest(finished) == before


def test_a_killed_run_goes_on_bitwise(finished: pathlib.Path, tmp_path: pathlib.Path) -> None:
    arguments = [*TINY, f"--workdir={tmp_path}", f"--config.data.shards={finished / 'shards'}",
                 f"--config.tokenizer.path={finished / 'tokenizer'}", "--config.report=False"]  # fmt: skip
    kill_after(3, tmp_path, *arguments)
    assert max(list_steps(tmp_path / "checkpoints")) < 12, "killed too late to show anything"
    run("main", *arguments)
    losses = [
        {line["step"]: line["loss"] for line in read_metrics(folder) if line["kind"] == "train"}
        for folder in (finished, tmp_path)
    ]
    assert losses[0] == losses[1]
    params = [
        toto_jax.from_pretrained(folder, tokenizer=finished / "tokenizer").params
        for folder in (finished, tmp_path)
    ]
    jax.tree.map(np.testing.assert_array_equal, *params)


def test_the_1b_config_is_killed_on_eight_devices_and_goes_on_on_four(
    finished: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "imagenet").symlink_to(finished / "shards" / "media")
    arguments = [
        "--config=configs/1b.py", f"--workdir={tmp_path}", f"--config.data.shards={tmp_path / 'shards'}",
        f"--config.tokenizer.path={finished / 'tokenizer'}",
        *(f"--config.data.mixture.{source}=0" for source in ("ego4d", "kinetics600", "howto100m")),
        "--config.clips.size=16", "--config.clips.frames=4",
        "--config.tokenizer.halvings=2", "--config.tokenizer.codebook_size=32",
        "--config.model.layers=2", "--config.model.d_model=64", "--config.model.head_dim=4", "--config.model.d_ff=64",
        "--config.train.steps=8", "--config.train.batch_size=8", "--config.train.log_every=1",
        "--config.optimizer.warmup_steps=2", "--config.checkpoint.every=2",
        "--config.evals.validation_loss.batch_size=8",
    ]  # fmt: skip
    kill_after(2, tmp_path, *arguments, "--config.mesh.tensor=2", devices=8)
    output = run("main", *arguments, "--config.mesh.tensor=1", devices=4)
    assert "Going on from step" in output
    assert "fsdp 4" in output
    assert list_steps(tmp_path / "checkpoints")[-1] == 8
    losses = [line["loss"] for line in read_metrics(tmp_path) if line["kind"] == "train"]
    assert len(losses) == 8
    assert all(np.isfinite(losses))


def test_a_toto_learns_from_codes_of_two_vocabularies(tmp_path: pathlib.Path) -> None:
    """VQGAN's network with signs for codes, two at a position: from media to a continuation, by the same command."""
    run(
        "main", *TINY, f"--workdir={tmp_path}", "--config.tokenizer.kind=vqgan", "--config.tokenizer.width=32",
        "--config.tokenizer.multipliers=(1, 1, 1)", "--config.tokenizer.attention=()", "--config.tokenizer.latent=16",
        "--config.tokenizer.quantizer=lfq", "--config.tokenizer.code_width=8",
        "--config.tokenizer.codes_per_position=2", "--config.tokenizer.training.vqgan.adversarial_start=2",
        "--config.tokenizer.training.vqgan.discriminator_start=1",
        "--config.tokenizer.training.vqgan.discriminator_layers=1", "--config.model.layers=1",
    )  # fmt: skip
    toto = toto_jax.from_pretrained(tmp_path)
    assert (toto.tokenizer.spec.kind, toto.tokenizer.spec.vocabularies) == ("vqgan", (16, 16))
    assert (toto.geometry.height, toto.geometry.width) == (4, 8)
    video = np.random.default_rng(0).integers(0, 256, (1, 4, 16, 16, 3)).astype(np.uint8)
    assert toto.continue_video(video[:, :2], frames=2).shape == (1, 2, 16, 16, 3)
    logged = set().union(*read_metrics(tmp_path / "tokenizer_run"))
    assert {"commitment", "entropy", "diversity", "discriminator", "adaptive_weight"} <= logged
    assert "reconstruct" in (tmp_path / "report.html").read_text()


def test_a_model_of_patches_learns_codes_from_media_to_features(
    finished: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Shards of pixels and, of the same clips, codes by the tokenizer that another run has trained."""
    tiny = [flag for flag in TINY[1:] if "rollout" not in flag and "training" not in flag]
    arguments = ["--config=configs/patches.py:small_codes", *tiny, f"--workdir={tmp_path}",
                 f"--config.tokenizer.path={finished / 'tokenizer'}", "--config.train.steps=6",
                 "--config.model.layers=1"]  # fmt: skip
    run("main", *arguments)
    dtypes = [verify(tmp_path / name / "media" / "train").dtype for name in ("shards", "paired")]
    assert dtypes == ["uint8", "uint16"]
    toto = toto_jax.from_pretrained(tmp_path)
    video = np.random.default_rng(0).integers(0, 255, (2, 3, 16, 16, 3)).astype(np.uint8)
    assert toto.features(video, layer=1).shape == (2, 3, 4, 4, 32)
    for refused in (lambda: toto.continue_video(video, frames=1), lambda: toto.tokens(video)):
        with pytest.raises(
            ConfigError, match="a model of patches can't continue a video: it takes pixels in"
        ):
            refused()
    report = (tmp_path / "report.html").read_text()
    for phrase in ("64 patches of 4 × 4 pixels, each with a code out of 32", "random weights", ">Tokenizer<"):
        assert phrase in report


def test_evaluate_gives_the_runs_own_numbers(finished: pathlib.Path) -> None:
    path = finished / "results" / "validation_loss" / "12.json"
    before = json.loads(path.read_text())["scalars"]
    output = run("evaluate", f"--workdir={finished}", "--evals=validation_loss", "--step=12")
    assert "validation_loss at step 12" in output
    assert json.loads(path.read_text())["scalars"] == before


def test_sample_continues_a_video(finished: pathlib.Path, tmp_path: pathlib.Path) -> None:
    from toto_jax.evaluation.pictures import write_mp4
    from toto_jax.evaluation.results import Animation

    frames = np.random.default_rng(0).integers(0, 255, (12, 32, 48, 3)).astype(np.uint8)
    write_mp4(tmp_path / "clip.mp4", Animation(frames, 8.0, ""))
    run(
        "sample",
        f"--workdir={finished}",
        f"--video={tmp_path / 'clip.mp4'}",
        f"--out={tmp_path / 'out'}",
        "--samples=2",
    )
    for suffix in (".gif", ".mp4", ".png"):
        assert (tmp_path / "out").with_suffix(suffix).stat().st_size > 100


def test_a_notebook_gets_features_logits_and_continuations(finished: pathlib.Path) -> None:
    toto = toto_jax.from_pretrained(finished)
    video = np.random.default_rng(0).integers(0, 255, (2, 3, 16, 16, 3)).astype(np.uint8)
    assert toto.features(video, layer=1).shape == (2, 3, 4, 4, 32)
    assert toto.logits(toto.tokens(video)).shape == (2, 50, 128)
    dreamt = toto.continue_video(video, frames=5)
    assert (dreamt.shape, dreamt.dtype) == ((2, 5, 16, 16, 3), np.uint8)
    np.testing.assert_array_equal(dreamt, toto.continue_video(video, frames=5))
    halved = toto_jax.from_pretrained(finished / "checkpoints" / "9", dtype="bfloat16")
    assert halved.step == 9
    assert {leaf.dtype.name for leaf in jax.tree.leaves(halved.params)} == {"bfloat16"}


BASE_INSTALL = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"grain", "array_record", "av", "PIL", "matplotlib", "tensorboardX", "tqdm", "torch"}:
            raise ImportError(f"{name} is not part of the base install")
sys.meta_path.insert(0, Blocked())
import numpy as np, toto_jax
toto = toto_jax.from_pretrained(sys.argv[1])
print(toto.continue_video(np.zeros((1, 2, 16, 16, 3), np.uint8), frames=1).shape)
print("tensorflow" in sys.modules)
"""


def test_the_base_install_loads_and_runs_a_checkpoint(finished: pathlib.Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BASE_INSTALL, str(finished)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        env=environment(1),
    )
    assert done.stdout.split("\n")[:2] == ["(1, 1, 16, 16, 3)", "False"], done.stderr[-2000:]


def test_a_notebooks_mistakes_are_explained(finished: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(CheckpointError, match="neither a workdir with checkpoints nor a checkpoint"):
        toto_jax.from_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="no checkpoint of step 5; it has 9, 12"):
        toto_jax.from_pretrained(finished, step=5)
    toto = toto_jax.from_pretrained(finished)
    with pytest.raises(ConfigError, match=r"uint8 videos of shape \(B, F, 16, 16, 3\)"):
        toto.features(np.zeros((1, 2, 8, 8, 3), np.uint8), layer=0)
    with pytest.raises(ConfigError, match="layer=7: this model has 0"):
        toto.features(np.zeros((1, 2, 16, 16, 3), np.uint8), layer=7)


def test_a_workdir_of_another_config_is_refused_with_the_differences(finished: pathlib.Path) -> None:
    process = start("main", *TINY, f"--workdir={finished}", "--config.model.layers=3")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == ConfigError.exit_code
    assert "model.layers: 2 -> 3" in output
    assert "Traceback" not in output


def test_missing_shards_and_media_say_what_to_do(tmp_path: pathlib.Path) -> None:
    process = start(
        "main", "--config=configs/base.py", f"--workdir={tmp_path / 'run'}", "--config.data.shards=/nowhere"
    )
    output, _ = process.communicate(timeout=120)
    assert process.returncode == DataError.exit_code
    assert "no shards of ego4d, howto100m, imagenet, kinetics600 in /nowhere" in output
    assert "toto_jax.pretokenize" in output
    process = start("main", *TINY, f"--workdir={tmp_path / 'other'}", "--config.data.media=/nowhere")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == DataError.exit_code
    assert "/nowhere" in output
