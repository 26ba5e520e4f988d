"""Loss by where a code lies in its clip: the paper's Figure 10.

The first frame is expensive, since nothing explains it; later ones cost less; a frame's first codes and each
row's cost more than those that have seen their neighbours.

Shapes: M clips, N = F * h * w codes of a clip in the order in which they are predicted, F frames.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class MeanAndError:
    """Means over clips, in nats per code.

    Attributes:
      mean: one for each position or frame.
      standard_error: of each mean, NaN when there is but one clip. Clips are the independent samples: codes
        of one clip go together, so counting every code as a sample would claim far too much certainty.
    """

    mean: np.ndarray
    standard_error: np.ndarray


def by_position(nll_MN: np.ndarray) -> MeanAndError:
    """Returns the mean loss at each of the N code positions."""
    nll_MN = np.asarray(nll_MN, np.float64)
    clips = len(nll_MN)
    if clips < 2:
        return MeanAndError(nll_MN.mean(axis=0), np.full(nll_MN.shape[1], np.nan))
    return MeanAndError(nll_MN.mean(axis=0), nll_MN.std(axis=0, ddof=1) / np.sqrt(clips))


def by_frame(nll_MN: np.ndarray, frames: int) -> MeanAndError:
    """Returns the mean loss of each of the F frames.

    Raises:
      ValueError: if the N positions are not a whole number for each frame.
    """
    clips, codes = nll_MN.shape
    if codes % frames:
        raise ValueError(f"{codes} code positions don't divide into {frames} frames")
    nll_MFn = np.asarray(nll_MN, np.float64).reshape(clips, frames, codes // frames)
    return by_position(nll_MFn.mean(axis=2))
