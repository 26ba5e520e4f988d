"""Every config loads, builds its abstract state, and has neither a key that nothing reads nor one that isn't known."""

import ast
import dataclasses
import importlib.util
import pathlib
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import architectures, comparison, finetune_32, patches
from configs.tokenizers import vqgan
from toto_jax import settings as settings_module
from toto_jax.config import from_json, to_json
from toto_jax.errors import ConfigError
from toto_jax.evaluation import registry
from toto_jax.experiment import build, build_task
from toto_jax.models.gpt2 import GPT2Config
from toto_jax.models.llama import LlamaConfig
from toto_jax.models.mamba import MambaConfig
from toto_jax.settings import Settings, parse
from toto_jax.training.optimizer import learning_rate_schedule
from toto_jax.tree import count

ROOT = pathlib.Path(__file__).resolve().parents[1]
CONFIGS = sorted(
    path
    for path in (ROOT / "configs").rglob("*.py")
    if path.name not in ("__init__.py", "image_probes.py", "sizes.py", "resolved.py")
)


def load(path: pathlib.Path) -> ConfigDict:
    spec = importlib.util.spec_from_file_location("config_under_test", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


def keys(config: ConfigDict, prefix: str = "") -> set[str]:
    found = set()
    for key, value in config.items():
        if isinstance(value, ConfigDict) and key not in ("evals", "mixture", "training"):
            found |= keys(value, f"{prefix}{key}.")
        else:
            found.add(prefix + key)
    return found


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT / "configs")))
def test_a_config_builds_its_abstract_state(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    config = load(path)
    experiment = build(config, tmp_path, jax.devices()[:1])
    assert count(experiment.trainer.abstract_state.params) > 10_000
    if config.tokenizer.training is not None:
        build(config.tokenizer.training, tmp_path, jax.devices()[:1])
    assert not any(tmp_path.iterdir()), "an abstract state needs no files"


@pytest.mark.parametrize("variant", ["1024", "16384", "directions", "fsq", "lfq", "bsq"])
def test_every_variant_of_vqgan_builds(variant: str, tmp_path: pathlib.Path) -> None:
    config = vqgan.get_config(variant)
    assert set(vqgan.VARIANTS) == {"1024", "16384", "directions", "fsq", "lfq", "bsq"}
    assert f"| {variant} |" in vqgan.__doc__
    experiment = build(config, tmp_path, jax.devices()[:1])
    codes = experiment.settings.tokenizer.codebook_size
    assert experiment.task.network.config.codebook_size == codes
    assert (experiment.settings.geometry.height, experiment.settings.geometry.width) == (16, 16)


@pytest.mark.parametrize("name", [*comparison.TOKENIZERS, *comparison.PATCHES])
def test_tokenizers_are_compared_at_equal_sizes(name: str, tmp_path: pathlib.Path) -> None:
    """The transformer's width and steps, the grid, and (but for patches alone) the number of codes are those of all."""
    rows = re.findall(r"^\| ([a-z, ]*) \|", comparison.__doc__, re.MULTILINE)
    assert name in ", ".join(rows).split(", ")
    experiment = build(comparison.get_config(name), tmp_path, jax.devices()[:1])
    settings, task = experiment.settings, experiment.task
    assert (settings.geometry.frames, settings.geometry.height, settings.geometry.width) == (8, 8, 8)
    assert (task.decoder.config.d_model, settings.train.steps) == (128, comparison.TOTO_STEPS)
    if name in comparison.TOKENIZERS:
        tokenizer = build(comparison.get_config(f"{name}:tokenizer"), tmp_path, jax.devices()[:1])
        assert tokenizer.settings.train.steps == comparison.STEPS
        assert tokenizer.settings.tokenizer.architecture == settings.tokenizer.architecture
        assert settings.tokenizer.codebook_size == 512
    with pytest.raises(ValueError, match="not 'patch:tokenizer'"):
        comparison.get_config("patch:tokenizer")


@pytest.mark.parametrize("kind", architectures.KINDS)
def test_every_architecture_builds(kind: str, tmp_path: pathlib.Path) -> None:
    experiment = build(architectures.get_config(kind), tmp_path, jax.devices()[:1])
    settings = experiment.settings
    assert settings.model["kind"] == kind
    assert settings.data.sources == ["imagenet"]
    # 400 epochs of 131B codes: 1,281,167 images of 256 codes.
    assert settings.train.steps * 4_096 * settings.train.batch_size == pytest.approx(
        400 * 1_281_167 * 256, rel=1e-4
    )
    assert settings.evals["probes"]["source"] == "imagenet"


# Steps: images x epochs over the 1,024 images of a step, rounded up.
@pytest.mark.parametrize(
    ("variant", "starts_with", "steps"),
    [("base", "base", 1_252), ("large", "large", 1_252), ("1b", "1b", 1_252), ("large:50", "large", 62_557),
     ("small", "quickstart", 150)],
)  # fmt: skip
def test_every_variant_of_the_fine_tune_takes_the_parameters_of_the_run_before(
    variant: str, starts_with: str, steps: int, tmp_path: pathlib.Path
) -> None:
    before, after = load(ROOT / "configs" / f"{starts_with}.py"), finetune_32.get_config(variant)
    assert keys(after) == keys(before)
    states = [build(config, tmp_path, jax.devices()[:1]) for config in (before, after)]
    jax.tree.map(
        lambda a, b: pytest.fail(f"{a.shape} {b.shape}") if a.shape != b.shape else None,
        *(experiment.trainer.abstract_state.params for experiment in states),
    )
    low, high = (experiment.settings.geometry for experiment in states)
    assert (high.height, high.codes) == (2 * low.height, low.codes)
    assert (after.train.steps, after.model.rope_base) == (steps, 50_000)
    slower = 1 if variant == "small" else 10
    assert after.optimizer.learning_rate == pytest.approx(before.optimizer.learning_rate / slower)


@pytest.mark.parametrize("variant", ["huge", "large:0", "large:few", "small:2"])
def test_a_variant_that_is_not_there_is_refused(variant: str) -> None:
    with pytest.raises(ValueError, match="knows small, base, large, 1b, and .*large:50"):
        finetune_32.get_config(variant)


@pytest.mark.parametrize("variant", ["patch", "codes", "small_patch", "small_codes"])
def test_every_variant_of_patches_builds(variant: str, tmp_path: pathlib.Path) -> None:
    assert set(patches.VARIANTS) == {"patch", "codes", "small_patch", "small_codes"}
    assert f"| {variant} |" in patches.__doc__
    config = patches.get_config(variant)
    task = build(config, tmp_path, jax.devices()[:1]).task
    assert config.clips.size // config.patches.side == (8 if variant.startswith("small") else 16)
    assert task.outputs == {"patch": 768, "codes": 8320, "small_patch": 48, "small_codes": 384}[variant]
    if variant == "patch":
        # Table 3: Toto-large; 1.28M images of 256 positions, 400 times, in steps of 1M positions.
        assert (task.decoder.config.layers, task.decoder.config.d_model) == (16, 1024)
        assert config.train.batch_size * task.context == 2**20
        assert config.train.steps * 2**20 == pytest.approx(400 * 1.2812e6 * 256, rel=0.01)


def two_codes_at_a_position(c: ConfigDict) -> None:
    c.tokenizer.update(kind="vqgan", quantizer="lfq", codes_per_position=2, code_width=14)
    c.tokenizer.update(multipliers=(1, 1, 1), attention=())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.patches.update(side=8), "side=8 makes 4 x 4 patches of a frame, its codes are 8 x 8.*side=4"),
        (
            two_codes_at_a_position,
            "8 x 8 patches of a frame, its codes are 8 x 16.*one code at a position",
        ),
        (lambda c: c.tokenizer.update(kind="pixels"), "no tokenizer network 'pixels'"),
        (lambda c: c.update(task="patch_to_patch", patches=ConfigDict({"side": 5, "loss_chunks": 1})), "30 would"),
        (lambda c: c.model.update(tied_head=True), "patches have no embedding of codes to share"),
        (lambda c: c.update(task="patch_to_patch"), "validation_loss measures next_token, patch_to_code, but"),
        (
            lambda c: c.evals.update(x=ConfigDict({"type": "rollout", "every": 0})),
            "a model of patches can't continue a video: it takes pixels in, and gives out codes",
        ),
    ],
)  # fmt: skip
def test_patches_that_do_not_fit_stop_before_any_work(
    change: object, message: str, tmp_path: pathlib.Path
) -> None:
    config = patches.get_config("small_codes")
    with config.unlocked():
        change(config)
    with pytest.raises(ConfigError, match=message):
        build(config, tmp_path, jax.devices()[:1])


def test_running_means_of_codes_want_whole_batches(tmp_path: pathlib.Path) -> None:
    config = vqgan.get_config("directions")
    config.train.microbatches = 2
    with pytest.raises(ConfigError, match="microbatches=2 takes it in parts"):
        build(config, tmp_path, jax.devices()[:1])


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT / "configs")))
def test_a_config_has_the_keys_of_the_default_and_no_others(path: pathlib.Path) -> None:
    assert keys(load(path)) == keys(load(ROOT / "configs" / "default.py"))
    assert path.read_text().startswith('"""'), "a config says what it is and how to run it"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT / "configs")))
def test_a_config_survives_json(path: pathlib.Path) -> None:
    config = load(path)
    assert parse(from_json(to_json(config))) == parse(config)


def test_every_key_is_read_somewhere() -> None:
    """Each field of each section's dataclass is looked up as an attribute by some file of the package."""
    read = set()
    for path in (ROOT / "toto_jax").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                read.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                read.add(node.value)  # getattr by name, and keys of `model` and `evals`
    sections = [Settings, LlamaConfig, GPT2Config, MambaConfig, *settings_module._SECTIONS.values()]
    sections += [settings_class for settings_class, *_ in registry._TYPES.values()]
    for section in sections:
        unread = {field.name for field in dataclasses.fields(section)} - read
        assert not unread, f"{section.__name__}: nothing reads {unread}"


# Per layer: attention 4 d^2 (full heads), feed-forward 3 d ff, two norms; besides a final norm and two (V, d) matrices.
@pytest.mark.parametrize(
    ("name", "layers", "d", "ff", "papers_millions"),
    [("base", 12, 768, 3072, 120), ("large", 16, 1024, 4096, 280), ("1b", 22, 2048, 5632, 1100)],
)
def test_the_papers_sizes(
    name: str, layers: int, d: int, ff: int, papers_millions: int, tmp_path: pathlib.Path
) -> None:
    experiment = build(load(ROOT / "configs" / f"{name}.py"), tmp_path, jax.devices()[:1])
    blocks = layers * (4 * d * d + 3 * d * ff + 2 * d)
    vocabulary = 8192 + 4 + 124  # codes, special tokens, padding to 65 x 128
    assert count(experiment.trainer.abstract_state.params) == blocks + d + 2 * vocabulary * d
    # The paper counts one of the two vocabulary matrices (paper.md: 119.5M, 276.8M; 1b with either count).
    assert blocks + vocabulary * d == pytest.approx(papers_millions * 1e6, rel=0.05)


def test_the_papers_optimisation() -> None:
    settings = parse(load(ROOT / "configs" / "1b.py"))
    assert settings.train.batch_size * settings.geometry.codes == 2**20
    assert (settings.optimizer.b1, settings.optimizer.b2) == (0.9, 0.95)
    assert (settings.optimizer.learning_rate, settings.optimizer.warmup_steps) == (3e-4, 2_000)
    assert dict(settings.data.mixture) == {"imagenet": 20, "ego4d": 10, "kinetics600": 10, "howto100m": 60}
    assert (settings.clips.size, settings.clips.frames, settings.clips.stride) == (128, 16, 4)


def test_the_dvaes_published_schedules() -> None:
    """2102.12092, appendix A.2; half a cosine is at its mean after half of its steps, and at 1/4 after two thirds."""
    settings = parse(load(ROOT / "configs" / "tokenizers" / "dvae.py"))
    rate = learning_rate_schedule(settings.optimizer, settings.train.steps)
    wanted = {
        0: 1e-4,
        600_000: (1e-4 + 1.25e-6) / 2,
        800_000: 1.25e-6 + 0.25 * (1e-4 - 1.25e-6),
        2_999_999: 1.25e-6,
    }
    for update, value in wanted.items():
        assert float(rate(update)) == pytest.approx(value, rel=1e-4)
    assert float(rate(1_200_000)) == pytest.approx(1.25e-6, rel=1e-4)
    task = build_task(settings, "cpu")
    found = [
        task.schedules(jnp.int32(update)) for update in (0, 2_500, 5_000, 75_000, 100_000, 150_000, 2_999_999)
    ]
    temperatures, weights = np.array(found).T
    half, quarter = (1 + 1 / 16) / 2, 1 / 16 + 0.25 * (1 - 1 / 16)
    np.testing.assert_allclose(weights, [0, 3.3, 6.6, 6.6, 6.6, 6.6, 6.6], atol=1e-4)
    np.testing.assert_allclose(temperatures[[0, 3, 4, 5, 6]], [1, half, quarter, 1 / 16, 1 / 16], atol=1e-5)
    assert (settings.dvae.crop_from, settings.dvae.crop) == ((256 * 9 // 8, 256 * 12 // 8), 256)
    assert (settings.optimizer.b1, settings.optimizer.b2, settings.optimizer.ema) == (0.9, 0.999, 0.999)
    assert (settings.train.batch_size, settings.train.steps) == (512, 3_000_000)


PROBES = ConfigDict(
    dict(
        type="probes", every=0, source="photos", train_clips=8, validation_clips=8, batch_size=8, steps=1,
        learning_rate=1e-3, weight_decay=0.0, heads=1,
    )
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(modle=1), "config has no key 'modle'; did you mean 'model'"),
        (lambda c: c.model.update(layrs=4), "config.model has no key 'layrs'; did you mean 'layers'"),
        (lambda c: c.optimizer.update(lr=1), "config.optimizer has no key 'lr'"),
        (lambda c: c.update(task="next_tokens"), "did you mean 'next_token'"),
        (lambda c: c.model.update(kind="lama"), "did you mean 'llama'"),
        (lambda c: c.clips.update(size=130), "130 is not a whole number of codes of 8 pixels.*128 would"),
        (lambda c: c.evals.update(x=ConfigDict({"type": "probe", "every": 0})), "did you mean 'probes'"),
        (lambda c: c.evals.update(x=ConfigDict({"type": "rollout"})), "config.evals.x lacks 'every'"),
        (lambda c: c.evals.update(x=ConfigDict({"type": "reconstruction", "every": 0})), "measures tokenizer"),
        (lambda c: c.mesh.update(fsdp=3), "can't be laid over 1 device"),
        (lambda c: c.data.update(labels="layouts"), "did you mean 'layout'"),
        (lambda c: c.data.update(layout="kinetic"), "did you mean 'kinetics'"),
        (lambda c: c.tokenizer.update(encode_dtype="bf16"), "encode_dtype='bf16' is unknown; did you mean 'bfloat16'"),
        (lambda c: c.evals.update(x=PROBES), "config.evals.x.source='photos'; known: media"),
        (lambda c: c.data.update(other_shapes=("high",)), "other_shapes names 'high'; known: media"),
    ],
)  # fmt: skip
def test_mistakes_stop_before_any_work(change: object, message: str, tmp_path: pathlib.Path) -> None:
    config = load(ROOT / "configs" / "default.py")
    with config.unlocked():
        change(config)
    with pytest.raises(ConfigError, match=message):
        build(config, tmp_path, jax.devices()[:1])


def test_overrides_on_the_command_line(tmp_path: pathlib.Path) -> None:
    """The real flags: a good override is taken, a misspelt one stops with the nearest known key."""
    program = (
        "import sys; from absl import app, flags; import toto_jax.main as m; "
        "app.run(lambda argv: print(m._CONFIG.value.model.layers))"
    )
    command = [sys.executable, "-c", program, "--config=configs/base.py", f"--workdir={tmp_path}"]
    good = subprocess.run(
        [*command, "--config.model.layers=4"], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert good.stdout.strip() == "4", good.stderr[-2000:]
    bad = subprocess.run(
        [*command, "--config.model.layrs=4"], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert bad.returncode != 0
    assert '"layers"' in bad.stderr
