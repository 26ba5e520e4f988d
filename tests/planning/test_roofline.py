import pytest

from configs import default
from tests.planning.test_network import network, one
from toto_jax.models.decoder import decoder_config
from toto_jax.models.llama import LlamaConfig
from toto_jax.models.remat import NAMES
from toto_jax.planning.roofline import (
    REPEATED,
    RESOURCES,
    computed_flops_per_token,
    memory_traffic,
    roofline,
)
from toto_jax.sharding.chips import CHIPS


def model(**changes: object) -> LlamaConfig:
    section = default.get_config().model
    sizes = dict(layers=2, d_model=256, heads=2, kv_heads=2, head_dim=128, d_ff=512, remat="none")
    return decoder_config("llama", {**section, **sizes, **changes})


VOCABULARY, CONTEXT = 1024, 512
MATRICES = 2 * (4 * 256 * 256 + 3 * 256 * 512)  # of the blocks
HEAD = VOCABULARY * 256
SCORES = 2 * 256 * CONTEXT  # L d T


def repeated(remat: str) -> float:
    flops = [
        computed_flops_per_token(model(remat=name), VOCABULARY, CONTEXT, CHIPS["v5p"])
        for name in (remat, "none")
    ]
    return flops[0] - flops[1]


def test_flops_without_remat_are_the_models_and_the_scores_again() -> None:
    """Attention's backward pass is four products of the size of the scores, and the scores themselves again."""
    flops = computed_flops_per_token(model(), VOCABULARY, CONTEXT, CHIPS["v5p"])
    assert flops == 6 * (MATRICES + HEAD) + 7 * SCORES


def test_remat_repeats_a_forward_pass_or_a_part_of_it() -> None:
    """A forward pass of the blocks is a third of their training; the head is not repeated."""
    assert repeated("minimal") == 0
    assert repeated("dots") == repeated("offload") == 2 * SCORES
    assert repeated("attention") == 2 * MATRICES
    assert repeated("full") == 2 * MATRICES + 2 * SCORES


def test_every_policy_has_its_cost() -> None:
    assert set(REPEATED) == set(NAMES)


def test_narrow_heads_leave_a_part_of_the_matrix_unit_idle() -> None:
    """Heads of 64 use half of a unit 128 wide, a quarter of one 256 wide, and all of a GPU's."""
    narrow = model(head_dim=64, heads=4, kv_heads=4)
    base = 6 * (MATRICES + HEAD)
    for chip, waste in (("v5e", 2), ("v6e", 4), ("h100", 1)):
        assert computed_flops_per_token(narrow, VOCABULARY, CONTEXT, CHIPS[chip]) == base + waste * 7 * SCORES


def test_memory_traffic() -> None:
    numbers = 14 * 256 + 12 * 256 + 6 * 512
    activations = 100 * (2 * numbers * 2 * 3 + 3 * 2 * 4 * VOCABULARY)
    # Weights three times in each of four microbatches; the state twice, the gradients, a third of it, twice.
    expected = activations + 4 * 3 * 1e6 + 2 * 9e6 + 2 * 3e6
    assert memory_traffic(model(), VOCABULARY, 100, 9e6, 1e6, 4) == pytest.approx(expected)
    again = expected + 100 * 2 * numbers * 2 + 4 * 1e6
    for remat in ("attention", "full"):
        assert memory_traffic(model(remat=remat), VOCABULARY, 100, 9e6, 1e6, 4) == pytest.approx(again)


def test_the_slowest_resource_is_the_bottleneck() -> None:
    cube = network("v5p:4x4x4", fsdp=64)
    gather = one("all-gather", range(64), 6.4e9)
    line = roofline(flops=459e12 * 0.02, traffic=2.765e12 * 0.005, collectives=[gather], network=cube)
    assert line.seconds == pytest.approx({"compute": 0.02, "HBM": 0.005, "ICI": 6.3 / 600, "DCN": 0})
    assert (line.bottleneck, line.step_seconds) == ("compute", pytest.approx(0.02))
    assert line.step_seconds_in_turn == pytest.approx(0.02 + 0.005 + 6.3 / 600)
    assert set(line.seconds) == set(RESOURCES)
    slow = roofline(0.0, 0.0, [one("all-reduce", range(32), 16e9)], network("v5e:4x4", 2, data=2, fsdp=16))
    assert slow.bottleneck == "DCN"
