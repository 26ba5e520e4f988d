"""The adversarial half of VQGAN's loss (2012.09841, equations 3 and 7), computed in one pass.

Each network gets the gradient of its own loss from one sum: what it must not change is behind a stop_gradient.

Shapes: N frames, H x W pixels, C colours.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

_MOST_WEIGHT = 1e4
_EPS = 1e-4

Picture = jax.Array


class Opinion(NamedTuple):
    """What a network says of painted pictures.

    Attributes:
      loss: of the pictures; minus the mean logit where it is the discriminator's.
      gradient_NHWC: of that loss with respect to the pictures.
    """

    loss: jax.Array
    gradient_NHWC: jax.Array


def opinion(loss_of: Callable[[Picture], jax.Array], painted_NHWC: Picture) -> Opinion:
    """Returns a loss of pictures and its gradient; constants both, for any gradient."""
    loss, gradient_NHWC = jax.value_and_grad(loss_of)(jax.lax.stop_gradient(painted_NHWC))
    return Opinion(*map(jax.lax.stop_gradient, (loss, gradient_NHWC)))


def as_loss(said: Opinion, painted_NHWC: Picture) -> jax.Array:
    """Returns `said.loss` with its gradient with respect to the pictures."""
    term = jnp.vdot(said.gradient_NHWC, painted_NHWC)
    return said.loss + term - jax.lax.stop_gradient(term)


def adaptive_weight(
    paint: Callable[[jax.Array], Picture], kernel: jax.Array, reconstruction_NHWC: jax.Array, said: Opinion
) -> jax.Array:
    """Returns the weight at which both losses pull equally hard at the last layer (equation 7).

    Args:
      paint: the last layer as a function of its kernel, its input being fixed.
      kernel: the last layer's.
      reconstruction_NHWC: gradient of the reconstruction loss with respect to the pictures.
      said: the discriminator's opinion.
    """
    _, pull = jax.vjp(paint, jax.lax.stop_gradient(kernel))
    norms = [jnp.linalg.norm(pull(gradient)[0]) for gradient in (reconstruction_NHWC, said.gradient_NHWC)]
    return jax.lax.stop_gradient(jnp.clip(norms[0] / (norms[1] + _EPS), 0, _MOST_WEIGHT))


def hinge_loss(real: jax.Array, painted: jax.Array) -> jax.Array:
    """Returns the discriminator's loss of its logits on real and painted pictures."""
    return 0.5 * (jax.nn.relu(1 - real).mean() + jax.nn.relu(1 + painted).mean())
