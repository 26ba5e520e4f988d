import collections

import pytest

from toto_jax.data.mixture import Interleave, interleaving, whole_weights
from toto_jax.errors import ConfigError


def test_weights_are_reduced_and_zeros_left_out() -> None:
    weights = whole_weights({"imagenet": 20, "ego4d": 10, "kinetics600": 10, "off": 0, "howto100m": 60})
    assert weights == {"imagenet": 2, "ego4d": 1, "kinetics600": 1, "howto100m": 6}


@pytest.mark.parametrize("mixture", [{"a": 0.5, "b": 1}, {"a": -1}, {"a": 0}, {}])
def test_impossible_mixtures_are_errors(mixture: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="config.data.mixture"):
        whole_weights(mixture)


@pytest.mark.parametrize("weights", [[2, 1, 1, 6], [29, 71], [1], [57, 36, 7]])
def test_every_block_has_exact_shares_evenly_spread(weights: list[int]) -> None:
    order = interleaving(weights)
    assert collections.Counter(order) == dict(enumerate(weights))
    for source, weight in enumerate(weights):
        for end in range(len(order) + 1):
            # Rounding alone would keep each count within one of its share; neighbours may shift it by one more.
            assert abs(order[:end].count(source) - end * weight / len(order)) <= 2


def test_each_source_is_walked_without_gaps() -> None:
    rows = Interleave([2, 3], 1000)
    walked = collections.defaultdict(list)
    for row in range(len(rows)):
        source, number = rows[row]
        walked[source].append(number)
    assert walked[0] == list(range(400))
    assert walked[1] == list(range(600))
