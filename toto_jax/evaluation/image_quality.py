"""How alike two pictures are.

Shapes: ... any leading dimensions, H x W pixels, C colours.
"""

import math

import numpy as np

# Of the window that statistics are taken in (Wang et al. 2004, section III-C).
_WINDOW = 11
_SIGMA = 1.5
_K1, _K2 = 0.01, 0.03
_PEAK = 255


def psnr(truth: np.ndarray, other: np.ndarray) -> float:
    """Returns the peak signal-to-noise ratio in dB of uint8 pixels, from the mean squared error over all of them.

    20 log10(255 / root mean squared error); infinite for equal arrays.
    """
    error = np.square(truth.astype(np.float64) - other.astype(np.float64)).mean()
    return math.inf if error == 0 else 20 * math.log10(_PEAK / math.sqrt(error))


def ssim(truth_HWC: np.ndarray, other_HWC: np.ndarray) -> float:
    """Returns the mean structural similarity of uint8 pictures (Wang et al. 2004, equation 13), 1 for equal ones.

    Each colour by itself, in Gaussian windows of 11 x 11 that lie inside of the picture; a picture smaller than that is
    one window in that direction.
    """
    x, y = truth_HWC.astype(np.float64), other_HWC.astype(np.float64)
    mean_x, mean_y = _blurred(x), _blurred(y)
    variance_x, variance_y = _blurred(x * x) - mean_x**2, _blurred(y * y) - mean_y**2
    covariance = _blurred(x * y) - mean_x * mean_y
    c1, c2 = (_K1 * _PEAK) ** 2, (_K2 * _PEAK) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return float((luminance * structure).mean())


def _blurred(x_HWC: np.ndarray) -> np.ndarray:
    """Returns Gaussian means over the windows that lie inside, along rows and then columns."""
    for axis in (-3, -2):
        size = min(_WINDOW, x_HWC.shape[axis])
        weights = np.exp(-np.square(np.arange(size) - (size - 1) / 2) / (2 * _SIGMA**2))
        windows = np.lib.stride_tricks.sliding_window_view(x_HWC, size, axis)
        x_HWC = windows @ (weights / weights.sum())
    return x_HWC
