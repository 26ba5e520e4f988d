import dataclasses
import pathlib
import shutil

import jax
import numpy as np
import pytest
import safetensors.numpy
from ml_collections import ConfigDict

from configs import patches, quickstart
from configs.tokenizers import vqgan
from tests.interop.test_hf_run import write_tokenizer
from toto_jax.config import from_json
from toto_jax.data.manifest import MANIFEST, read_manifest
from toto_jax.errors import CheckpointError, ConfigError, DataError
from toto_jax.experiment import build
from toto_jax.settings import parse
from toto_jax.stages import FREE_KEYS, check_tokenizer, claim_workdir, prepare, run
from toto_jax.tokenizers.base import TokenizerSpec
from toto_jax.tokenizers.loading import load_tokenizer
from toto_jax.tokenizers.perceptual import WEIGHTS_NAME
from toto_jax.training.checkpoint import list_steps


@pytest.fixture
def config() -> ConfigDict:
    return quickstart.get_config()


def test_a_workdir_takes_its_config_and_what_may_change(config: ConfigDict, tmp_path: pathlib.Path) -> None:
    claim_workdir(config, tmp_path)
    config.train.log_every = 7
    config.evals.rollout.clips = 2
    config.mesh.fsdp = 1
    claim_workdir(config, tmp_path)
    assert '"log_every": 7' in (tmp_path / "config.json").read_text()


def test_a_workdir_refuses_another_experiment(config: ConfigDict, tmp_path: pathlib.Path) -> None:
    claim_workdir(config, tmp_path)
    config.optimizer.learning_rate = 1e-9
    config.model.layers = 5
    with pytest.raises(ConfigError, match=r"model.layers: 4 -> 5\n  optimizer.learning_rate: 0.003 -> 1e-09"):
        claim_workdir(config, tmp_path)
    assert '"learning_rate": 0.003' in (tmp_path / "config.json").read_text(), "nothing was lost"


CASES = {
    "nothing": ({"media": 0}, ConfigError, "config.data.mixture has no source of positive weight"),
    "late": ({"media": ((5, 1),)}, ConfigError, "must say the weight from step 0 on first"),
    "absent": ({"media": 1, "nowhere": 1}, DataError, "There are no shards of nowhere in"),
    "empty": ({"media": 1, "hollow": ((0, 0), (9, 1))}, DataError, "hollow/train holds no clips"),
    "foreign": ({"media": 1, "foreign": 1}, DataError, "their codes mean different things"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_mixture_that_cannot_be_stops_the_run(
    case: str, finished: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    mixture, error, message = CASES[case]
    media, shards = finished / "shards" / "media", tmp_path / "shards"
    manifest = read_manifest(media / "train")
    foreign = dataclasses.replace(manifest.tokenizer, content_hash="f" * 64)
    for name, changes in (("media", {}), ("hollow", {"shards": ()}), ("foreign", {"tokenizer": foreign})):
        shutil.copytree(media, shards / name)
        path = shards / name / "train" / MANIFEST
        path.write_text(dataclasses.replace(manifest, **changes).to_json())
    config = from_json((finished / "config.json").read_text()).unlock()
    config.data.media, config.data.shards, config.data.mixture = "", str(shards), ConfigDict(mixture)
    with pytest.raises(error, match=message):
        run(config, tmp_path / "run", lambda line: None)
    assert not list_steps(tmp_path / "run" / "checkpoints")


def test_free_keys_exist(config: ConfigDict) -> None:
    for key in FREE_KEYS:
        section, _, name = key.partition(".")
        assert section in config
        assert not name or name in config[section]


def test_what_is_missing_is_said_with_what_would_work(config: ConfigDict, tmp_path: pathlib.Path) -> None:
    config.data.media = ""
    with pytest.raises(DataError, match="no shards of media in .*--config.data.media="):
        prepare(parse(config), tmp_path, print)
    config.data.media = "synthetic"
    config.tokenizer.training = None
    with pytest.raises(ConfigError, match="no tokenizer in .*config.tokenizer.path"):
        prepare(parse(config), tmp_path, print)
    assert not any(tmp_path.iterdir())


def test_a_saved_tokenizer_of_other_codes_is_refused_before_shards_are_written(config: ConfigDict) -> None:
    settings = parse(config)
    codes, down = settings.tokenizer.codebook_size, 2**settings.tokenizer.halvings
    check_tokenizer(settings, TokenizerSpec("dvae", codes, down, {}, "a"))
    for other in (
        TokenizerSpec("vqgan", 1024, down, {"width": 32, "codebook_size": 1024}, "a"),
        TokenizerSpec("vqgan", codes, 2 * down, {"width": 32, "codebook_size": 1024}, "a"),
    ):
        with pytest.raises(ConfigError, match="--config.tokenizer.kind='vqgan' --config.tokenizer.width=32"):
            check_tokenizer(settings, other)


def test_shards_are_written_in_the_dtype_of_the_config_and_read_in_no_other(tmp_path: pathlib.Path) -> None:
    write_tokenizer(tmp_path / "tokenizer")
    c = quickstart.get_config()
    c.clips.update(size=16, frames=4, synthetic_clips=8)
    c.tokenizer.update(codebook_size=32, width=8, decoder_stem=8, encode_dtype="bfloat16")
    prepare(parse(c), tmp_path, lambda line: None)
    wrote = read_manifest(tmp_path / "shards" / "media" / "train").tokenizer
    assert wrote == load_tokenizer(tmp_path / "tokenizer", "bfloat16").spec
    assert build(c, tmp_path, jax.devices()[:1]).load_tokenizer().spec == wrote
    c.tokenizer.encode_dtype = "float32"
    experiment = build(c, tmp_path, jax.devices()[:1])
    with pytest.raises(
        DataError, match=r"in float32\) is not the one .* in bfloat16\).* set config.tokenizer.encode"
    ):
        _ = experiment.pipeline


@pytest.mark.parametrize("content", [None, {"conv.weight": np.zeros(3, np.float32)}])
def test_wrong_perceptual_weights_stop_before_any_work(
    tmp_path: pathlib.Path, content: dict[str, np.ndarray] | None
) -> None:
    folder = tmp_path / "lpips"
    folder.mkdir()
    if content is not None:
        safetensors.numpy.save_file(content, folder / WEIGHTS_NAME)
    config = vqgan.get_config()
    config.data.media = "synthetic"
    config.vqgan.update(perceptual_weight=1.0, perceptual_weights=str(folder))
    with pytest.raises(CheckpointError, match=WEIGHTS_NAME):
        run(config, tmp_path / "run", lambda line: None)
    assert not (tmp_path / "run").exists()


def test_patches_without_a_tokenizer_for_their_codes_stop_before_any_work(tmp_path: pathlib.Path) -> None:
    config = patches.get_config("small_codes")
    config.tokenizer.training = None
    with pytest.raises(ConfigError, match="no tokenizer in .*config.tokenizer.path"):
        prepare(parse(config), tmp_path, print)
    assert not any(tmp_path.iterdir())
