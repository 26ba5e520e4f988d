import numpy as np
import pytest

from toto_jax.data.order import Order, permuted

RECORDS = [3, 2, 4, 1, 7, 5]
SIZE = sum(RECORDS)
# Shard of each clip, by hand.
SHARD = np.repeat(np.arange(6), RECORDS)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 16, 17, 99, 1000])
def test_a_permutation_takes_each_place_somewhere_else(size: int) -> None:
    places = np.arange(size)
    taken = permuted(places, size, (1, 2))
    assert sorted(taken) == list(range(size))
    np.testing.assert_array_equal(permuted(places[::-1], size, (1, 2)), taken[::-1])
    if size > 16:
        assert (permuted(places, size, (1, 3)) != taken).mean() > 0.8


def test_a_permutation_of_many_is_not_held_in_memory() -> None:
    size = 10**15
    taken = permuted(np.arange(1000) + size // 2, size, (0,))
    assert len(np.unique(taken)) == 1000
    assert ((taken >= 0) & (taken < size)).all()
    assert np.abs(taken.mean() / size - 0.5) < 0.05


def test_permutations_favour_no_place() -> None:
    """Chi-square of where a place goes, and of the distance between neighbours, over many keys."""
    size, keys = 20, 2000
    taken = np.array([permuted(np.arange(size), size, (key,)) for key in range(keys)])
    steps = np.diff(taken, axis=1) % size
    for values, cells in ((taken[:, 0], size), (taken[:, 13], size), (steps[:, 5] - 1, size - 1)):
        counts, expected = np.bincount(values, minlength=cells), keys / cells
        chi2 = ((counts - expected) ** 2 / expected).sum()
        assert chi2 < cells + 5 * np.sqrt(2 * cells)


@pytest.mark.parametrize("window", [0, 1, 2, 4, 6, 99])
def test_every_epoch_has_each_clip_once(window: int) -> None:
    order = Order(RECORDS, window, seed=0, name="a")
    epochs = order.numbers(np.arange(5 * SIZE)).reshape(5, SIZE)
    assert (np.sort(epochs, axis=1) == np.arange(SIZE)).all()
    assert len({tuple(epoch) for epoch in epochs}) == 5


def test_places_may_be_asked_for_in_any_order_and_far_away() -> None:
    order, again = (Order(RECORDS, 2, seed=0, name="a") for _ in range(2))
    places = 10**12 * SIZE + np.arange(3 * SIZE)
    shuffled = np.random.default_rng(0).permutation(places)
    found = dict(zip(shuffled.tolist(), order.numbers(shuffled).tolist(), strict=True))
    assert [found[place] for place in places.tolist()] == [
        int(again.numbers(np.array([place]))[0]) for place in places.tolist()
    ]


def test_a_window_reads_from_its_own_shards_alone() -> None:
    order = Order(RECORDS, 2, seed=0, name="a")
    numbers, place, visits = order.numbers(np.arange(4 * SIZE)), 0, []
    while place < 4 * SIZE:
        window = order.window(place)
        assert window.start == place
        assert order.window(window.end - 1) == window
        read = numbers[window.start : window.end]
        wanted = np.flatnonzero(np.isin(SHARD, window.shards))
        assert sorted(read) == wanted.tolist(), "all clips of the window's shards and no others"
        visits.append(window.shards)
        place = window.end
    assert len(visits) == 4 * 3
    epochs = [sum(visits[3 * epoch : 3 * epoch + 3], ()) for epoch in range(4)]
    assert all(sorted(epoch) == list(range(6)) for epoch in epochs)
    assert len(set(epochs)) == 4, "shards come in another order in each epoch"


def test_clips_are_shuffled_among_the_shards_of_a_window() -> None:
    order = Order([50, 50, 50, 50], 2, seed=0, name="a")
    first = order.numbers(np.arange(100)) // 50
    assert set(first) == set(order.window(0).shards)
    assert 30 < (np.diff(first) != 0).sum() < 70, "not one shard after the other"


def test_an_order_follows_seed_and_name() -> None:
    orders = {
        tuple(Order(RECORDS, 2, seed, name).numbers(np.arange(SIZE)))
        for seed, name in ((0, "a"), (1, "a"), (0, "b"))
    }
    assert len(orders) == 3
