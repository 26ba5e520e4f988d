import functools
from typing import Any

import jax
import pytest

from tests.planning.tiny import BATCH, BLOCK, LAYERS, WIDTH, tiny_config
from toto_jax.errors import ConfigError
from toto_jax.planning.plan import Plan
from toto_jax.planning.planner import Planner, changed, on_slices
from toto_jax.planning.topologies import parse_topology


@functools.cache
def planner(topology: str = "h100:8", **changes: Any) -> Planner:
    machine = parse_topology(topology)
    return Planner(tiny_config(**changes), machine, jax.devices()[: machine.chips])


def plan(changes: dict[str, Any] | None = None, **config: Any) -> Plan:
    return planner(**config).plan(changes)


def test_changes_reach_the_layout() -> None:
    one = plan({"mesh.data": 2, "mesh.fsdp": 4, "train.microbatches": 2, "model.remat": "full"})
    assert (one.mesh["data"], one.mesh["fsdp"], one.microbatches, one.remat) == (2, 4, 2, "full")
    assert one.sequences == BATCH / 8 / 2
    assert one.memory.activations < plan().memory.activations


def test_what_does_not_fit_says_so() -> None:
    huge = plan(train__batch_size=2**22)
    assert not huge.fits
    assert huge.memory.total > 0.9 * huge.capacity


def test_a_tokenizer_is_not_planned() -> None:
    with pytest.raises(ConfigError, match="plans transformers: config.task='next_token'.*got 'tokenizer'"):
        planner(task="tokenizer")


def test_patches_are_planned() -> None:
    """Work by hand: the blocks, a head of 48 values, their embedding without a gradient of pixels, causal attention."""
    found = plan(
        task="patch_to_patch",
        patches__side=4,
        tokenizer__kind="pixels",
        evals__validation_loss__type="patch_loss",
    )
    context = 2 * 8 * 8
    assert (found.context, found.tokens) == (context, BATCH * context)
    assert found.params == LAYERS * (BLOCK + 2 * WIDTH) + WIDTH + (48 + 48 + 1 + 2) * WIDTH
    products = 6 * (LAYERS * BLOCK + 48 * WIDTH) + 4 * 48 * WIDTH
    assert found.flops_per_token == products + 6 * LAYERS * WIDTH * context
    assert found.fits


def test_changed_leaves_the_config_alone() -> None:
    config = tiny_config()
    assert changed(config, {"model.layers": 9}).model.layers == 9
    assert config.model.layers == LAYERS


def test_slices_take_the_slow_axis() -> None:
    """A size that the config gives must agree with the machine."""
    two = parse_topology("v5e:4x4", slices=2)
    config = tiny_config()
    assert on_slices(config, two).mesh.slices == 2
    assert on_slices(config, two).mesh.data == 1
    assert on_slices(config, parse_topology("v5e:4x4")) is config
    config.mesh.slices = 4
    with pytest.raises(ConfigError, match="mesh.slices=4, but the machine is 2 slices of v5e:4x4"):
        on_slices(config, two)
