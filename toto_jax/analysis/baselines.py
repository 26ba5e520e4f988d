"""What a model has to beat: losses, in nats per code, of predictors that know next to nothing.

The first knows how often each code occurs. The second knows besides that videos mostly stand still: it bets
on the code at the same place of the frame before. A transformer that doesn't beat the second has learned
nothing of motion.

Shapes: N training clips, M held-out clips, F frames, h x w codes of a frame, V codes of the codebook.
"""

import dataclasses

import numpy as np

from toto_jax.errors import DataError


def code_counts(codes: np.ndarray, codebook_size: int) -> np.ndarray:
    """Returns counts_V: how often each code occurs.

    Raises:
      DataError: if there are no codes, or one lies outside the codebook.
    """
    if not codes.size:
        raise DataError("There are no codes to count; give at least one clip")
    low, high = int(codes.min()), int(codes.max())
    if low < 0 or high >= codebook_size:
        raise DataError(
            f"Codes lie in {low}..{high}, but a codebook of {codebook_size} has 0..{codebook_size - 1}"
        )
    return np.bincount(codes.reshape(-1), minlength=codebook_size)


def entropy(codes: np.ndarray, codebook_size: int) -> float:
    """Returns the entropy of a split's own code frequencies, in nats per code.

    No predictor that gives every code of the split the same distribution can have a lower loss on it.
    """
    counts_V = code_counts(codes, codebook_size)
    p_V = counts_V[counts_V > 0] / counts_V.sum()
    return float(-(p_V * np.log(p_V)).sum())


@dataclasses.dataclass(frozen=True)
class Baselines:
    """Two predictors fitted on a train split.

    Attributes:
      log_unigram_V: log-probability of each code, whatever came before.
      change: probability that a code is drawn afresh instead of copied from the frame before.
    """

    log_unigram_V: np.ndarray
    change: float

    def unigram_loss(self, codes_MFhw: np.ndarray) -> float:
        """Returns the cross-entropy of the train split's code frequencies on codes_MFhw, nats per code."""
        counts_V = code_counts(codes_MFhw, len(self.log_unigram_V))
        return float(-(counts_V * self.log_unigram_V).sum() / counts_V.sum())

    def copy_loss_by_frame(self, codes_MFhw: np.ndarray) -> np.ndarray:
        """Returns loss_F, nats per code, of copying the last frame; its mean is the loss in total.

        p(code) = (1 - change) * [the code at the same place of the frame before] + change * unigram(code).
        The first frame has none before it and is left to the unigram.
        """
        code_counts(codes_MFhw, len(self.log_unigram_V))
        log_fresh = self.log_unigram_V[codes_MFhw]
        same = codes_MFhw[:, 1:] == codes_MFhw[:, :-1]
        log_p = np.log(self.change) + log_fresh
        log_p[:, 0] = log_fresh[:, 0]
        # A probability of 1 - change of 0 is log 0: -inf, which logaddexp takes for what it is.
        with np.errstate(divide="ignore"):
            log_copy = np.log1p(-self.change)
        log_p[:, 1:] = np.where(same, np.logaddexp(log_copy, log_p[:, 1:]), log_p[:, 1:])
        return -log_p.mean(axis=(0, 2, 3))


def fit_baselines(train_NFhw: np.ndarray, codebook_size: int) -> Baselines:
    """Fits both predictors on a train split.

    Frequencies are smoothed by one imagined occurrence of each code, so that a code first met on the held-out
    split costs something finite; `change` is smoothed by one imagined change for the same reason.

    Args:
      train_NFhw: codes of the train split, any integer dtype.
      codebook_size: codes are 0..codebook_size-1.

    Raises:
      DataError: if there are no codes, or one lies outside the codebook.
    """
    counts_V = code_counts(train_NFhw, codebook_size) + 1
    unigram_V = counts_V / counts_V.sum()
    before, after = train_NFhw[:, :-1], train_NFhw[:, 1:]
    kept = after[before == after]
    kept_V = np.bincount(kept.reshape(-1), minlength=codebook_size)
    changed = after.size - kept.size + 1
    return Baselines(np.log(unigram_V), _fit_change(kept_V, changed, unigram_V))


def _fit_change(kept_V: np.ndarray, changed: int, unigram_V: np.ndarray) -> float:
    """Returns the maximum-likelihood probability of a fresh draw.

    A code that differs from the one before was surely drawn afresh: it adds log(change) to the
      log-likelihood. One that
    is the same was copied or drawn again by chance: it adds log(1 - change + change * unigram). Both are
    concave, so the slope falls all the way from +inf at 0, and halving the interval finds its only zero. Only
    how often each code was kept matters, so a step costs V operations however long the split is.

    Args:
      kept_V: how often each code was the same as in the frame before.
      changed: how often the code differed; at least 1.
      unigram_V: probability of each code in a fresh draw.
    """

    def slope(change: float) -> float:
        return changed / change - (kept_V * (1 - unigram_V) / (1 - change * (1 - unigram_V))).sum()

    if slope(1.0) >= 0:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return high
