"""L = a C^b and L = a C^b + c, fitted so that a few odd points don't decide.

Shapes: P points.
"""

import dataclasses

import numpy as np
from scipy.optimize import least_squares

from toto_jax.errors import DataError

# Relative errors beyond it count linearly and no longer by their squares (Huber).
_OUTLIER = 0.01
# The floor is sought between nothing and nearly the least loss, from several shares of that.
_STARTS = (0.0, 0.3, 0.6, 0.9)
_MOST = 0.9999
_LARGEST = 700.0  # logarithm of


@dataclasses.dataclass(frozen=True)
class PowerLaw:
    """y = a x^b + c, with c = 0 where it is none of the law's."""

    a: float
    b: float
    c: float = 0.0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.a * x**self.b + self.c

    def log_errors(self, x_P: np.ndarray, y_P: np.ndarray) -> np.ndarray:
        """Returns log(y) - log(law): relative errors, nearly."""
        return np.log(y_P) - np.log(self(x_P))


def fit_power_law(
    x_P: np.ndarray, y_P: np.ndarray, floor: bool = False, start: PowerLaw | None = None
) -> PowerLaw:
    """Returns the law of the least Huber loss of log errors.

    Args:
      x_P: positive.
      y_P: positive.
      floor: whether c is sought, from 0 up to the least y; it is 0 otherwise.
      start: a law near the one sought, for want of which several starts are tried.

    Raises:
      DataError: if there are fewer different x than the law has parameters, or it is as good as vertical.
    """
    wanted = 3 if floor else 2
    if len(np.unique(x_P)) < wanted:
        raise DataError(
            f"{len(np.unique(x_P))} points can't tell a power law's {wanted} parameters; give runs of more sizes"
        )
    # About its middle a line's height and slope don't pull on one another.
    middle = np.log(x_P).mean()
    log_x_P, log_y_P, least = np.log(x_P) - middle, np.log(y_P), float(y_P.min())
    shares = _STARTS if start is None else (min(start.c / least, 0.99), 0.0)
    best = None

    def errors(p: np.ndarray) -> np.ndarray:
        return np.log(np.exp(p[0] + p[1] * log_x_P) + (p[2] * least if floor else 0)) - log_y_P

    def slopes(p: np.ndarray) -> np.ndarray:
        power_P = np.exp(p[0] + p[1] * log_x_P)
        columns = np.stack([power_P, power_P * log_x_P, np.full_like(power_P, least)][:wanted], axis=1)
        return columns / (power_P + (p[2] * least if floor else 0))[:, None]

    for share in shares if floor else (0.0,):
        slope, height = np.polyfit(log_x_P, np.log(y_P - share * least), 1)
        bounds = ((-np.inf, -np.inf, 0)[:wanted], (np.inf, np.inf, _MOST)[:wanted])
        found = least_squares(
            errors, (height, slope, share)[:wanted], slopes, bounds, loss="huber", f_scale=_OUTLIER
        )
        if best is None or found.cost < best.cost:
            best = found
    height, slope = best.x[:2]
    # Of 64-bit numbers.
    if abs(height - slope * middle) > _LARGEST:
        raise DataError(f"The law's exponent of {slope:.3g} is too steep for its factor to be a number")
    return PowerLaw(
        float(np.exp(height - slope * middle)), float(slope), float(best.x[2] * least) if floor else 0.0
    )
