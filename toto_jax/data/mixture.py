"""Which source each row of the training stream comes from: a pure function of the row's number.

Every block of `sum(weights)` rows holds each source exactly `weight` times, evenly spread, so shares are exact
at any point to within one block. (Grain's own `mix` truncates weight ratios to a hundredth of the smallest.)
"""

import math
from collections.abc import Mapping, Sequence

from grain import MapDataset

from toto_jax.errors import ConfigError


def whole_weights(mixture: Mapping[str, int | float]) -> dict[str, int]:
    """Returns the mixture's positive weights, reduced by their common divisor; sources of weight 0 are left out.

    Raises:
      ConfigError: on a negative or fractional weight, or when no source is left.
    """
    for name, weight in mixture.items():
        if weight < 0 or int(weight) != weight:
            raise ConfigError(
                f"config.data.mixture.{name}={weight} must be a whole number of 0 or more: "
                "give percentages or parts, e.g. 20, 10, 10, 60"
            )
    weights = {name: int(weight) for name, weight in mixture.items() if weight}
    if not weights:
        raise ConfigError(f"config.data.mixture has no source of positive weight: {dict(mixture)}")
    divisor = math.gcd(*weights.values())
    return {name: weight // divisor for name, weight in weights.items()}


def interleaving(weights: Sequence[int]) -> list[int]:
    """Returns the order of sources within one block, each spread as evenly as whole rows allow."""
    block = sum(weights)
    # The k-th row of a source of weight w is due at (k + 1/2) / w of the block.
    due = [((2 * k + 1) * block / (2 * w), source) for source, w in enumerate(weights) for k in range(w)]
    return [source for _, source in sorted(due)]


class Interleave:
    """Row number -> (source, position in that source's own endless stream); Grain's selection-map protocol."""

    def __init__(self, weights: Sequence[int], rows: int):
        self._order = interleaving(weights)
        seen = [0] * len(weights)
        self._within = []
        for source in self._order:
            self._within.append(seen[source])
            seen[source] += 1
        self._weights = list(weights)
        self._rows = rows

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, row: int) -> tuple[int, int]:
        block, place = divmod(row, len(self._order))
        source = self._order[place]
        return source, block * self._weights[source] + self._within[place]


def mix(datasets: Sequence[MapDataset], weights: Sequence[int], rows: int) -> MapDataset:
    """Returns one endless dataset of `rows` rows drawn from endless ones in exact proportion."""
    return MapDataset.select_from_datasets(list(datasets), Interleave(weights, rows))
