"""Which learning rate is best at which width, and whether one serves all (the paper's Figure 11).

Shapes: W widths, K learning rates.
"""

import collections
import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from toto_jax.analysis.plots import line_plot
from toto_jax.analysis.run_curves import RunCurve, alike, two_or_more
from toto_jax.analysis.scaling_figures import WIDTH, Drawing
from toto_jax.errors import DataError


@dataclasses.dataclass(frozen=True)
class RateStudy:
    """Attributes:
    widths: W, rising.
    log2_rate_K: rising; a rate that no run of a width has is NaN in its row.
    loss_WK: at the end, nats per code, means over runs of equal width and rate; NaN where there are none.
    diverged_WK: whether a run diverged; its loss is NaN.
    held_out: whether losses are of held-out clips.
    """

    widths: tuple[int, ...]
    log2_rate_K: np.ndarray
    loss_WK: np.ndarray
    diverged_WK: np.ndarray
    held_out: bool

    @property
    def best_W(self) -> np.ndarray:
        """Indices of the best rates."""
        return np.nanargmin(self.loss_WK, axis=1)

    @property
    def lowest_W(self) -> np.ndarray:
        """log2 of where a parabola through the best rate and its neighbours is lowest; of the best where there is none.

        A sweep's rates stand a factor of 2 or 4 apart, and optima move by less from one width to the next.
        """
        lowest = self.log2_rate_K[self.best_W].copy()
        for row, best in enumerate(self.best_W):
            known = np.flatnonzero(np.isfinite(self.loss_WK[row]))
            place = int(np.searchsorted(known, best))
            if 0 < place < len(known) - 1:
                near = known[place - 1 : place + 2]
                curvature, slope, _ = np.polyfit(
                    self.log2_rate_K[near] - lowest[row], self.loss_WK[row, near], 2
                )
                lowest[row] += -slope / (2 * curvature) if curvature > 0 else 0.0
        return lowest

    @property
    def common(self) -> int | None:
        """Index of the rate at which widths lose least on average; None if there is none that all have survived."""
        excess_K = (self.loss_WK - np.nanmin(self.loss_WK, axis=1, keepdims=True)).mean(axis=0)
        return int(np.nanargmin(excess_K)) if np.isfinite(excess_K).any() else None

    @property
    def given_away_W(self) -> np.ndarray:
        """Loss at the common rate less that at the width's own best, nats per code; NaN without a common rate."""
        if self.common is None:
            return np.full(len(self.widths), np.nan)
        return self.loss_WK[:, self.common] - np.nanmin(self.loss_WK, axis=1)

    @property
    def edges(self) -> list[int]:
        """Widths whose best rate is the least or the largest that was tried, so that the true one may lie outside."""
        found = []
        for width, losses_K, lost_K, best in zip(
            self.widths, self.loss_WK, self.diverged_WK, self.best_W, strict=True
        ):
            tried = np.flatnonzero(np.isfinite(losses_K) | lost_K)
            if best in (tried[0], tried[-1]):
                found.append(width)
        return found

    @property
    def drift(self) -> float:
        """By how much the log2 of the best rate changes with each doubling of the width; 0 under a perfect muP."""
        if len(self.widths) < 2:
            return float("nan")
        return float(np.polyfit(np.log2(self.widths), self.lowest_W, 1)[0])


def rate_study(runs: Sequence[RunCurve], left_out: Mapping[str, str]) -> tuple[RateStudy, dict[str, str]]:
    """Returns the study of some runs, and all that are not in it with the reason.

    Args:
      runs: that could be read.
      left_out: those that could not.

    Raises:
      DataError: if fewer than two runs are left, or all of them diverged.
    """
    others = dict(left_out)
    kept, different = alike(runs, lambda run: f"{run.codes}, {run.recipe}")
    others |= different
    unfinished = {
        run.name: f"it has come to step {run.train_step_S.max(initial=0):,} of {run.steps:,}"
        for run in kept
        if not (run.diverged or run.finished)
    }
    others |= unfinished
    kept, _ = two_or_more([run for run in kept if run.name not in unfinished], others)
    ended = [run for run in kept if not run.diverged]
    # Losses of held-out clips and of training don't compare: one kind for all.
    held_out = all(run.held_out and run.step_P[-1] == run.steps for run in ended)
    losses: dict[tuple[int, float], list[float]] = collections.defaultdict(list)
    for run in kept:
        last = np.nan if run.diverged else (run.loss_P if held_out else run.train_loss_S)[-1]
        losses[run.width, float(np.log2(run.learning_rate))].append(float(last))
    survived = {width for (width, _), found in losses.items() if np.isfinite(np.mean(found))}
    for width in {width for width, _ in losses} - survived:
        others[f"width {width}"] = "all of its runs diverged"
    if not survived:
        raise DataError("All of these runs diverged; give runs at lower learning rates")
    widths, rates = sorted(survived), sorted({rate for _, rate in losses})
    loss_WK = np.array([[np.mean(losses.get((width, rate), np.nan)) for rate in rates] for width in widths])
    tried_WK = np.array([[(width, rate) in losses for rate in rates] for width in widths])
    return RateStudy(tuple(widths), np.array(rates), loss_WK, tried_WK & np.isnan(loss_WK), held_out), others


def rate_rows(found: RateStudy) -> list[tuple[str, ...]]:
    """Returns a row of cells for each width, as of `RATE_HEADER`."""
    return [
        (
            str(width),
            f"2^{found.log2_rate_K[best]:.4g}",
            f"2^{lowest:.2f}",
            f"{losses[best]:.4f}",
            "–" if np.isnan(given) else f"{given:.4f} ({100 * given / losses[best]:.2f}%)",
            str(int(lost.sum())),
        )
        for width, best, lowest, losses, given, lost in zip(
            found.widths, found.best_W, found.lowest_W, found.loss_WK, found.given_away_W, found.diverged_WK,
            strict=True,
        )
    ]  # fmt: skip


RATE_HEADER = ("width", "best rate", "between rates", "loss", "given away at the common rate", "diverged")


def verdict(found: RateStudy, percent: float) -> list[str]:
    """Returns whether one rate serves all widths, and what to know of that, in sentences.

    Args:
      found: the study.
      percent: of its loss that a width may give away for a rate to serve it.
    """
    said = []
    least_W = np.nanmin(found.loss_WK, axis=1)
    worst = int(np.argmax(found.given_away_W / least_W))
    if len(found.widths) < 2:
        said.append("Whether one rate serves all widths can't be said of one width.")
    elif found.common is None:
        said.append("No rate serves all widths: there is none that each of them was trained with to the end.")
    else:
        share = 100 * float(found.given_away_W[worst] / least_W[worst])
        serves = share <= percent
        rate = f"2^{found.log2_rate_K[found.common]:.4g}"
        cost = (
            f"the best for all together, width {found.widths[worst]} gives most away, "
            f"{found.given_away_W[worst]:.4f} nats or {share:.2f}% of its loss ({percent:g}% may be)."
            if share
            else "which is the best of each."
        )
        said.append(f"{'One' if serves else 'No'} rate serves all widths: at {rate}, {cost}")
        said.append(
            f"With each doubling of the width the best rate is multiplied by 2^{found.drift:.2f}: 2^0 is what muP "
            "promises."
        )
    if found.edges:
        edges = ", ".join(map(str, found.edges))
        said.append(
            f"At width {edges} the best rate is the least or the largest that was tried: the true one may lie outside."
        )
    if not found.held_out:
        said.append("Losses are those of training: not every run has a held-out loss of its last step.")
    return said


def rate_drawing(found: RateStudy) -> Drawing:
    """Returns loss over learning rate, a line for each width, its optimum ringed and what diverged crossed."""
    names = [f"width {width}" for width in found.widths]

    def draw(kind: str) -> bytes:
        crosses = {
            name: np.flatnonzero(lost).tolist()
            for name, lost in zip(names, found.diverged_WK, strict=True)
            if lost.any()
        }
        label = "loss on held-out clips, nats per code" if found.held_out else "training loss, nats per code"
        return line_plot(
            found.log2_rate_K,
            dict(zip(names, found.loss_WK, strict=True)),
            "log2 of the learning rate",
            label,
            rings=dict(zip(names, found.best_W.tolist(), strict=True)),
            crosses=crosses,
            cross_label="diverged",
            width=WIDTH,
            height=420,
            file_format=kind,
        )

    caption = (
        "Loss at the end over learning rate. Rings are each width's best, crosses on top runs that diverged."
    )
    return Drawing("learning_rates", caption, draw)
