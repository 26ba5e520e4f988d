"""The sweeps: the paper's grids, members that build, and sizes that can't be."""

import copy
import pathlib
from typing import Any

import jax
import pytest
from ml_collections import ConfigDict

from configs import sizes
from configs.sweeps import architectures, mup_lr, scaling_law
from tests.processes import TINY, run
from toto_jax.data.manifest import read_manifest
from toto_jax.errors import ConfigError
from toto_jax.experiment import Experiment, build
from toto_jax.settings import parse
from toto_jax.tokenizers.loading import read_spec

WORKDIR = pathlib.Path("sweep")


def resolved(base: ConfigDict, overrides: dict[str, Any]) -> ConfigDict:
    config = copy.deepcopy(base)
    with config.unlocked():
        for key, value in overrides.items():
            *path, last = key.split(".")
            section = config
            for part in path:
                section = section[part]
            assert last in section, key
            section[last] = value
    return config


def built(sweep: Any, variant: str, name: str) -> Experiment:
    overrides = dict(sweep.members(variant, WORKDIR))[name]
    return build(resolved(sweep.get_config(variant), overrides), WORKDIR, jax.devices()[:1])


def test_figure_11s_grid() -> None:
    """Widths and rates as read off the figure; every member differs from the others in just these."""
    members = dict(mup_lr.members("", WORKDIR))
    widths = {overrides["model.d_model"] for overrides in members.values()}
    rates = {overrides["optimizer.learning_rate"] for overrides in members.values()}
    assert widths == {64, 128, 256, 512, 768, 1024, 1536}
    assert rates == {2.0**-20, 2.0**-18} | {2.0**-exponent for exponent in range(17)}
    assert len(members) == len(widths) * len(rates)
    assert members["w768-lr7"]["optimizer.learning_rate"] == 2**-7
    assert mup_lr.prepare("", WORKDIR) == []


@pytest.mark.parametrize("variant", ["", "small"])
def test_every_member_of_the_widest_and_narrowest_builds(variant: str) -> None:
    widths = mup_lr.SMALL_WIDTHS if variant else mup_lr.WIDTHS
    narrow, wide = (built(mup_lr, variant, f"w{width}-lr7") for width in (widths[0], widths[-1]))
    scale = wide.trainer.scales["head"]
    assert scale.forward == widths[0] / widths[-1]
    assert narrow.trainer.scales["layers"]["mlp"]["gate"].learning_rate == 1
    heads = {each.task.decoder.config.heads for each in (narrow, wide)}
    assert heads == {4 if variant else 16}, "heads stay, as in the paper"


def test_without_mup_no_factor_is_left() -> None:
    experiment = built(mup_lr, "standard", "w256-lr7")
    assert experiment.trainer.scales["head"].forward == 1
    assert dict(mup_lr.members("standard", WORKDIR)).keys() == dict(mup_lr.members("small", WORKDIR)).keys()


def test_table_15s_sizes() -> None:
    """Width and depth of the variants, 16 heads, feed-forwards of 4 times the width."""
    wanted = {
        "a1": (256, 12),
        "a2": (512, 16),
        "a3": (768, 20),
        "a4": (1024, 24),
        "a5": (1536, 28),
        "a6": (1792, 32),
    }
    found = {}
    for name, overrides in scaling_law.members("", WORKDIR):
        model = parse(resolved(scaling_law.get_config(), overrides)).model
        found[name] = (model["d_model"], model["layers"])
        assert (model["heads"], model["d_ff"]) == (16, 4 * model["d_model"])
    assert found == wanted
    assert scaling_law.get_config().optimizer.learning_rate == 2**-7


@pytest.mark.parametrize("variant", ["", "small"])
def test_the_law_takes_its_rate_with_the_base_that_it_was_found_on(variant: str) -> None:
    bases = [sweep.get_config(variant).mup.to_dict() for sweep in (mup_lr, scaling_law)]
    assert bases[0] == bases[1]
    assert bases[0]["enabled"]
    for name, overrides in scaling_law.members(variant, WORKDIR):
        sizes_of = {
            key: overrides[f"model.{key}"] for key in ("d_model", "layers", "heads", "head_dim", "d_ff")
        }
        assert all(size >= bases[0]["base"][key] for key, size in sizes_of.items()), name


def test_the_small_law_has_sizes_that_grow_and_many_budgets() -> None:
    sizes_of = [built(scaling_law, "small", name) for name in scaling_law.SMALL]
    counts = [each.task.decoder.config.d_model for each in sizes_of]
    assert counts == sorted(set(counts))
    settings = sizes_of[0].settings
    assert settings.train.steps // settings.evals["validation_loss"]["every"] >= 10
    assert settings.optimizer.learning_rate == settings.optimizer.end_learning_rate


@pytest.mark.parametrize("variant", ["", "small"])
def test_architectures_differ_in_kind_and_not_in_data(variant: str) -> None:
    found = [built(architectures, variant, kind) for kind in ("llama", "gpt2", "mamba")]
    assert [each.settings.model["kind"] for each in found] == ["llama", "gpt2", "mamba"]
    assert len({str(each.settings.data) for each in found}) == 1
    assert len({each.settings.train.steps for each in found}) == 1
    assert all("probes" in each.settings.evals for each in found), "Table 6 is of probes"


@pytest.mark.parametrize("sweep", [mup_lr, scaling_law, architectures])
def test_unknown_variants_are_named(sweep: Any) -> None:
    with pytest.raises(ValueError, match="not 'smal'"):
        sweep.get_config("smal")


@pytest.mark.reference
def test_members_find_what_is_prepared_once(tmp_path: pathlib.Path) -> None:
    """The preparation as real processes, at sizes for tests: a tokenizer, and shards that it wrote."""
    prefix = "--config.tokenizer.training."
    of_tokenizer = [f"--config.{word[len(prefix) :]}" for word in TINY if word.startswith(prefix)]
    of_network = [word for word in TINY if word.startswith("--config.tokenizer.") and prefix not in word]
    train, write = scaling_law.prepare("small", tmp_path)
    for command, sizes_of in ((train, of_tokenizer + of_network), (write, TINY[1:])):
        assert command[:2] == ["python", "-m"]
        run(command[2].removeprefix("toto_jax."), *command[3:], *sizes_of)
    for _, overrides in scaling_law.members("small", tmp_path):
        found = read_manifest(pathlib.Path(overrides["data.shards"]) / "media" / "train").tokenizer
        assert found == read_spec(pathlib.Path(overrides["tokenizer.path"]))


def test_heads_must_divide_a_width_into_even_parts() -> None:
    with pytest.raises(ConfigError, match="A width of 100 isn't 16 heads of an even size; 96 would be"):
        sizes.llama(100, 2, 16)
