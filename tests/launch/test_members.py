"""A sweep file becomes whole configs, and mistakes in it stop before anything starts."""

import json
import pathlib

import pytest

from configs import default, quickstart, resolved
from launch.launching import Launch, check_configs
from launch.local import Options
from launch.members import expand, launch_name, load_members, single, slug, store_members
from launch.names import cloud_name
from launch.retry import Budgets
from toto_jax.config import to_json
from toto_jax.errors import ConfigError

BEGINNING = (
    "from configs.quickstart import get_config as base\n\ndef get_config(variant=''):\n    return base()\n\n"
)


def sweep(tmp_path: pathlib.Path, members: str) -> str:
    path = tmp_path / "rates.py"
    path.write_text(BEGINNING + f"def members(variant, workdir):\n    yield from {members}\n")
    return str(path)


def test_members_differ_from_the_base_in_what_they_override(tmp_path: pathlib.Path) -> None:
    text = (
        "[('a', {'model.d_model': 64, 'optimizer.learning_rate': 1e-2}), ('b', {'data.mixture': {'x': 2}})]"
    )
    expanded = expand(sweep(tmp_path, text), tmp_path)
    assert expanded.name == "rates"
    first, second = expanded.members
    wanted = quickstart.get_config()
    wanted.model.d_model, wanted.optimizer.learning_rate = 64, 1e-2
    assert first.config == to_json(wanted)
    assert json.loads(second.config)["data"]["mixture"] == {"x": 2}
    assert json.loads(second.config)["model"]["d_model"] == 128


def test_what_is_stored_is_what_a_run_reads(tmp_path: pathlib.Path) -> None:
    expanded = expand(sweep(tmp_path, "[('a', {'seed': 3}), ('b', {'seed': 4})]"), tmp_path)
    store_members(tmp_path, expanded.members)
    assert load_members(tmp_path) == expanded.members
    lines = [json.loads(line) for line in (tmp_path / "sweep.jsonl").read_text().splitlines()]
    assert [line["name"] for line in lines] == ["a", "b"]
    assert lines[0]["overrides"] == {"seed": 3}
    assert lines[1]["digest"] == expanded.members[1].digest
    config = resolved.get_config(str(tmp_path / "configs" / "b.json"))
    assert config.seed == 4
    assert to_json(config) == expanded.members[1].config


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ("[('a', {}), ('a', {'seed': 1})]", "Two members are called 'a'"),
        ("[('a', {'seed': 2}), ('b', {}), ('c', {'seed': 2})]", "Members 'a' and 'c' have equal configs"),
        ("[('a', {'model.d_modle': 2})]", "'a' overrides config.model.d_modle.*did you mean 'd_model'"),
        ("[('a', {'seed.x': 2})]", "overrides config.seed.x"),
        ("[('a', {'seed': 'two'})]", "sets config.seed to 'two', which is of another type than 0"),
        ("[('../a', {})]", "called '../a'; names become folders"),
        ("[('logs', {})]", "called 'logs'"),
        ("[]", "has no members"),
    ],
)
def test_mistakes_in_a_sweep(tmp_path: pathlib.Path, members: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        expand(sweep(tmp_path, members), tmp_path)


def test_a_config_is_no_sweep(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match=r"quickstart.py has no members\(variant, workdir\).*launch.run"):
        expand("configs/quickstart.py", tmp_path)
    with pytest.raises(
        ConfigError, match="no sweep file configs/quikstart.py; did you mean 'configs/quickstart.py'"
    ):
        expand("configs/quikstart.py", tmp_path)


def test_a_workdir_of_another_sweep_is_refused_with_what_differs(tmp_path: pathlib.Path) -> None:
    text = "[('a', {'seed': 3}), ('b', {'seed': 4}), ('c', {'seed': 5})]"
    members = expand(sweep(tmp_path, text), tmp_path).members
    store_members(tmp_path, members)
    store_members(tmp_path, members)
    others = expand(sweep(tmp_path, text.replace("'c'", "'d'").replace("3", "7")), tmp_path).members
    with pytest.raises(ConfigError) as error:
        store_members(tmp_path, others)
    for line in ("c: only there", "d: only here", "a: seed: 3 -> 7"):
        assert line in str(error.value)
    assert load_members(tmp_path) == members


def test_a_workdir_of_another_run_is_refused_with_what_differs(tmp_path: pathlib.Path) -> None:
    config = default.get_config()
    store_members(tmp_path, single("configs/default.py", config).members)
    config.train.steps = 7
    with pytest.raises(ConfigError, match="the run: train.steps: 1000000 -> 7"):
        store_members(tmp_path, single("configs/default.py", config).members)


def test_a_run_is_named_by_its_file_and_its_config() -> None:
    config = default.get_config()
    first = single("configs/finetune_32.py:large", config)
    assert first.name == f"finetune-32-{first.members[0].digest[:8]}"
    assert first.members[0].folder == "."
    config.seed = 1
    assert single("configs/finetune_32.py:large", config).name != first.name
    assert slug("Mup_LR.v2") == "mup-lr-v2"


@pytest.mark.parametrize(
    "path", [path.name for path in pathlib.Path(default.__file__).parent.glob("[!_]*.py")]
)
def test_clouds_take_the_default_name_of_each_config(tmp_path: pathlib.Path, path: str) -> None:
    expanded = single(path, default.get_config())
    (member,) = expanded.members
    launch = Launch(tmp_path, expanded.name, "gke", None, (member,), (), 1, Budgets(-1, 3), 1.0)
    assert cloud_name(launch, member) == expanded.name


def test_a_name_that_would_begin_with_a_digit() -> None:
    assert launch_name("configs/1b.py:large") == "toto-1b"
    assert launch_name("configs/base.py") == "base"


def test_configs_that_cannot_run_are_named_before_anything_starts(tmp_path: pathlib.Path) -> None:
    text = "[('a', {}), ('b', {'model.heads': 3}), ('c', {'clips.size': 33})]"
    expanded = expand(sweep(tmp_path, text), tmp_path)
    launch = Launch(tmp_path, "x", "local", Options(), expanded.members, (), 1, Budgets(-1, 3), 1.0)
    with pytest.raises(ConfigError) as error:
        check_configs(launch)
    lines = str(error.value).splitlines()
    assert lines[0] == "These members can't run:"
    assert [line.partition(":")[0] for line in lines[1:]] == ["b", "c"], lines
