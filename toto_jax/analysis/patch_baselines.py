"""What a model of patches has to beat: squared errors of guesses that know next to nothing.

The first guesses zero for each normalised value: a patch of no contrast. The second takes the normalised patch at the
same place of the frame before, times one factor that is fitted on training clips; where frames don't go together at
all the factor is 0, and the second becomes the first.

Shapes: B clips, F frames, n patches of a frame, P values of a patch.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass
class CopyFit:
    """The least-squares factor of the frame before, summed up over batches of normalised patches."""

    products: float = 0.0
    squares: float = 0.0

    def add(self, patches_BFnP: np.ndarray) -> None:
        """Takes some training clips in."""
        before, after = patches_BFnP[:, :-1], patches_BFnP[:, 1:]
        self.products += float((before * after).sum(dtype=np.float64))
        self.squares += float(np.square(before).sum(dtype=np.float64))

    @property
    def factor(self) -> float:
        """0 where there was nothing to fit it on."""
        return self.products / self.squares if self.squares else 0.0


def zero_error(patches_BFnP: np.ndarray) -> np.ndarray:
    """Returns error_BF of guessing zeros: the mean square of each frame's normalised values."""
    return np.square(patches_BFnP).mean((2, 3), dtype=np.float64)


def copy_error(patches_BFnP: np.ndarray, factor: float) -> np.ndarray:
    """Returns error_BF of `factor` times the frame before; of zeros for the first frame, which has none."""
    guess_BFnP = factor * patches_BFnP[:, :-1]
    error_BF = np.square(patches_BFnP[:, 1:] - guess_BFnP).mean((2, 3), dtype=np.float64)
    return np.concatenate([zero_error(patches_BFnP[:, :1]), error_BF], axis=1)
