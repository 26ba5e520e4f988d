import collections
from typing import Any

import numpy as np
import pytest

from toto_jax.data.mixture import Mixture, interleaving, phases
from toto_jax.errors import ConfigError

PAPERS = {"imagenet": 20, "ego4d": 10, "kinetics600": 10, "howto100m": 60}
# Rows of 6: phases of 18, 30 and endless rows in blocks of 3, 8 and 2; no phase is whole blocks but the first.
CHANGING = {"a": ((0, 2), (3, 10), (8, 0)), "b": ((0, 1), (3, 5)), "c": ((0, 0), (3, 25), (8, 5)), "off": 0}
BATCH = 6


def test_weights_are_reduced_and_zeros_left_out() -> None:
    weights = {"imagenet": 2, "ego4d": 1, "kinetics600": 1, "howto100m": 6}
    assert phases({**PAPERS, "off": 0, "never": ((0, 0), (5, 0))}) == [(0, weights)]


def test_a_schedule_is_cut_where_any_weight_changes() -> None:
    assert phases(CHANGING) == [
        (0, {"a": 2, "b": 1, "c": 0}),
        (3, {"a": 2, "b": 1, "c": 5}),
        (8, {"a": 0, "b": 1, "c": 1}),
    ]


@pytest.mark.parametrize(
    ("mixture", "message"),
    [
        ({"a": 0.5, "b": 1}, "mixture.a=0.5 must be a whole number"),
        ({"a": -1}, "mixture.a=-1 must be a whole number"),
        ({"a": True}, "mixture.a=True must be a whole number"),
        ({"a": float("nan")}, "mixture.a=nan must be a whole number"),
        ({"a": 0}, "no source of positive weight"),
        ({}, "no source of positive weight"),
        ({"a": ((0, 1), (9, 0)), "b": ((0, 0), (10, 1))}, "no source of positive weight from step 9 on"),
        ({"a": ((0, 1), (9, 0.5))}, "must be a whole number"),
        ({"a": ((5, 1),)}, "must say the weight from step 0 on first"),
        ({"a": ((0, 1), (9, 2), (4, 3))}, "later steps in order"),
        ({"a": ((0, 1), (9, 2), (9, 3))}, "later steps in order"),
        ({"a": ((0, 1), (9.5, 2))}, "whole steps of 0 or more, not at 9.5"),
        ({"a": (20,)}, r"must be a weight, or pairs of a step"),
        ({"a": ()}, r"must be a weight, or pairs of a step"),
    ],
)
def test_impossible_mixtures_are_errors(mixture: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"config.data.*{message}"):
        phases(mixture)


@pytest.mark.parametrize("weights", [[2, 1, 1, 6], [29, 71], [1], [57, 36, 7]])
def test_every_block_has_exact_shares_evenly_spread(weights: list[int]) -> None:
    order = interleaving(weights)
    assert collections.Counter(order) == dict(enumerate(weights))
    for source, weight in enumerate(weights):
        for end in range(len(order) + 1):
            # Rounding alone would keep each count within one of its share; neighbours may shift it by one more.
            assert abs(order[:end].count(source) - end * weight / len(order)) <= 2


def simulated(mixture: dict[str, Any], steps: int) -> tuple[list[int], list[int], np.ndarray]:
    """Walks a run row by row: source and place of each row, and the rows taken before each step."""
    sources, places, taken = [], [], []
    names = [name for name, value in mixture.items() if value != 0]
    counts, order, place = [0] * len(names), [], 0
    for step in range(steps):
        taken.append(list(counts))
        for _, weights in [phase for phase in phases(mixture) if phase[0] == step]:
            order, place = interleaving([weights[name] for name in names]), 0
        for _ in range(BATCH):
            source = order[place % len(order)]
            sources.append(source)
            places.append(counts[source])
            counts[source] += 1
            place += 1
    return sources, places, np.array(taken)


@pytest.mark.parametrize("mixture", [PAPERS, CHANGING, {"a": ((0, 3), (1, 1), (2, 7)), "b": 2}])
def test_rows_are_those_of_a_plain_walk(mixture: dict[str, Any]) -> None:
    steps = 40
    sources, places, taken = simulated(mixture, steps)
    rows = Mixture(mixture, BATCH)
    found = rows.locate(np.arange(steps * BATCH))
    np.testing.assert_array_equal(found[0], sources)
    np.testing.assert_array_equal(found[1], places)
    np.testing.assert_array_equal([rows.taken(step) for step in range(steps)], taken)
    # A few rows at a time and in any order, as processes and resumed runs ask.
    some = np.random.default_rng(0).permutation(steps * BATCH)[:50]
    np.testing.assert_array_equal(rows.locate(some)[1], np.array(places)[some])
    for source in range(len(rows.names)):
        walked = [place for at, place in zip(sources, places, strict=True) if at == source]
        assert walked == list(range(len(walked))), "nothing is skipped or repeated where weights change"


def test_a_source_of_weight_0_gives_nothing_in_its_phase() -> None:
    sources, _ = Mixture(CHANGING, BATCH).locate(np.arange(60 * BATCH))
    assert not (sources[: 3 * BATCH] == 2).any()
    assert not (sources[8 * BATCH :] == 0).any()


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_no_stretch_of_steps_takes_more_than_said(steps: int) -> None:
    rows = Mixture(CHANGING, BATCH)
    taken = np.array([rows.taken(step) for step in range(60)])
    most = (taken[steps:] - taken[:-steps]).max(axis=0)
    assert (most <= rows.at_most(steps)).all()
    assert (rows.at_most(steps) <= np.minimum(most + 4 * np.array([2, 1, 5]), steps * BATCH)).all()


def test_far_steps_cost_and_lose_nothing() -> None:
    step, batch = 10**12, 4096
    rows = Mixture(PAPERS, batch)
    assert rows.taken(step).tolist() == [step * batch * share // 10 for share in (2, 1, 1, 6)]
    sources, places = rows.locate(step * batch + np.arange(10))
    assert sorted(places[sources == 3].tolist()) == [step * batch * 6 // 10 + k for k in range(6)]


def test_the_papers_passes() -> None:
    """One pass is 3.56B, 25.9B, 10.3B and 640B tokens (Table 2 at every 4th frame); the run is 1T of 4,096 a row."""
    clips = np.array([3.56e9, 25.9e9, 10.3e9, 640e9]) / 4096
    taken = Mixture(PAPERS, 256).taken(round(1e12 / 4096 / 256))
    np.testing.assert_allclose(taken / clips, [56, 3.9, 9.7, 0.94], rtol=0.01)
