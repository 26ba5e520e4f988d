"""Learn a tokenizer: DALL-E's discrete VAE with a relaxed code (2102.12092, appendices A.2 and A.3).

Shapes: B clips, F frames, N = B*F frames, H x W pixels, h x w codes, C = 3 colours, K codes, M = 6 maps.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from toto_jax.errors import ConfigError
from toto_jax.sharding.rules import constrain
from toto_jax.tasks.random_crops import random_crops
from toto_jax.tasks.tokenizer import frames_of, perplexity, pixel_batch
from toto_jax.tokenizers.dvae import DVAE
from toto_jax.tokenizers.dvae_network import map_pixels, reconstruction, unmap_pixels
from toto_jax.training.task import Batch, Metrics
from toto_jax.tree import Params


@dataclasses.dataclass(frozen=True)
class DVAETaskConfig:
    """Attributes:
    kl_weight: of the divergence from uniform codes, in the end; DALL-E's beta.
    kl_steps: over which it rises from 0 along half a cosine.
    temperature_start: of the relaxed codes.
    temperature_end: likewise, in the end.
    temperature_steps: from one to the other, along half a cosine.
    crop: side of the random squares that are cut out of the frames, in pixels; 0 for whole frames.
    crop_from: least and most pixels that the frames' sides are resized to before.
    flip: whether half of the clips are mirrored.
    min_scale: least scale of the likelihood, in logits; 0 for none, as published. Rendered pixels have no noise:
      their likelihood has no bound, and would have all of the network's attention.

    Raises:
      ConfigError: on a temperature that isn't positive, a negative weight or number of steps, or squares of nothing.
    """

    kl_weight: float
    kl_steps: int
    temperature_start: float
    temperature_end: float
    temperature_steps: int
    crop: int
    crop_from: tuple[int, int]
    flip: bool
    min_scale: float

    def __post_init__(self) -> None:
        for name in ("kl_weight", "kl_steps", "temperature_steps", "crop", "min_scale"):
            if getattr(self, name) < 0:
                raise ConfigError(f"config.dvae.{name} must be 0 or more, got {getattr(self, name)}")
        for name in ("temperature_start", "temperature_end"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"config.dvae.{name} must be positive, got {getattr(self, name)}")
        if len(self.crop_from) != 2 or (
            self.crop and not self.crop <= self.crop_from[0] <= self.crop_from[1]
        ):
            raise ConfigError(
                f"config.dvae.crop_from={self.crop_from} must be two sides to cut squares of {self.crop} pixels from, "
                f"the smaller first, e.g. {(9 * self.crop // 8, 12 * self.crop // 8)}"
            )


def half_cosine(start: float, end: float, steps: int, step: jax.Array) -> jax.Array:
    """Returns `start` at step 0 and `end` from `steps` on, with half a cosine between (flat at both ends)."""
    progress = jnp.clip(step / max(steps, 1), 0, 1) if steps else 1.0
    return end + (start - end) * 0.5 * (1 + jnp.cos(jnp.pi * progress))


def logit_laplace_log_likelihood(x: jax.Array, median_logit: jax.Array, log_scale: jax.Array) -> jax.Array:
    """Returns the log-density at x of sigmoid(Laplace(median_logit, exp(log_scale))) (2102.12092, appendix A.3).

    Unlike the Laplace and the normal distribution it lies within (0, 1), as pixels do.
    """
    logit = jnp.log(x) - jnp.log1p(-x)
    distance = jnp.abs(logit - median_logit) * jnp.exp(-log_scale)
    return -jnp.log(2.0) - log_scale - jnp.log(x) - jnp.log1p(-x) - distance


class DVAETask:
    """The evidence lower bound with codes relaxed by Gumbel-softmax, per pixel and colour.

    The relaxed code goes forward and backward, without a straight-through estimator. As the published loss, it is
    divided by H*W*3 (appendix A.2 divides by 256 * 256 * 3), so that `kl_weight` means the same at every size.

    Args:
      network: the dVAE.
      config: of the loss.
      frames: of a clip.
      size: H = W of a clip.

    Raises:
      ConfigError: if squares are to be cut of more than the frames, or are not a whole number of codes.
    """

    activation_axes = ()

    def __init__(self, network: DVAE, config: DVAETaskConfig, frames: int, size: int):
        self.network = network
        self.config = config
        self._clip = (frames, size)
        if config.crop and config.crop_from[1] > size:
            raise ConfigError(
                f"config.dvae.crop_from={config.crop_from} is more than frames of {size} pixels have; set "
                f"config.clips.size={config.crop_from[1]}, or config.dvae.crop=0 for whole frames"
            )
        side = 2**network.config.halvings
        if config.crop % side:
            raise ConfigError(
                f"config.dvae.crop={config.crop} is not a whole number of codes of {side} pixels; "
                f"{max(config.crop // side, 1) * side} would be"
            )

    def init(self, key: jax.Array) -> Params:
        return self.network.init(key)

    def logical_axes(self) -> Any:
        return self.network.logical_axes()

    def tokenizer_params(self, params: Params) -> Params:
        return params

    def batch_spec(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
        return pixel_batch(batch_size, *self._clip)

    def loss(
        self, params: Params, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """Returns the negative bound in nats per pixel and colour, its parts, and how the codes are used.

        `reconstruction` and `kl` add up to `loss` with the weights that hold at this step: the first in nats per pixel
        and colour, the second in nats per code. `mse` is of the relaxed reconstruction, in units of white; the error of
        hard codes approaches it as the temperature falls. `code_perplexity` is the exponential of the entropy of the
        batch's mean distribution of codes.
        """
        flip_key, noise_key, crop_key = jax.random.split(key, 3)
        pixels_BFHWC, c = batch["pixels"], self.config
        if c.crop:
            pixels_BFHWC = random_crops(pixels_BFHWC, crop_key, c.crop, c.crop_from)
        mapped_NHWC = map_pixels(frames_of(pixels_BFHWC, flip_key, c.flip))
        logits_NhwK = constrain(self.network.encode_logits(params, mapped_NHWC), "batch", None, None, None)
        log_q_NhwK = jax.nn.log_softmax(logits_NhwK)
        q_NhwK = jnp.exp(log_q_NhwK)
        kl_Nhw = (q_NhwK * log_q_NhwK).sum(-1) + jnp.log(float(logits_NhwK.shape[-1]))

        temperature, kl_weight = self.schedules(step)
        noise_NhwK = jax.random.gumbel(noise_key, logits_NhwK.shape)
        relaxed_NhwK = jax.nn.softmax((logits_NhwK + noise_NhwK) / temperature)
        maps_NHWM = self.network.decode_soft(params, relaxed_NhwK)
        medians_NHWC, log_scales_NHWC = jnp.split(maps_NHWM, 2, axis=-1)
        if c.min_scale:
            log_scales_NHWC = jnp.logaddexp(log_scales_NHWC, jnp.log(c.min_scale))
        nll_NHWC = -logit_laplace_log_likelihood(mapped_NHWC, medians_NHWC, log_scales_NHWC)

        loss = nll_NHWC.mean() + kl_weight * kl_Nhw.sum() / nll_NHWC.size
        error_NHWC = jnp.square(reconstruction(maps_NHWM) - unmap_pixels(mapped_NHWC))
        one, values, codes = jnp.float32(1), jnp.float32(nll_NHWC.size), jnp.float32(kl_Nhw.size)
        return loss, {
            "loss": (loss * values, values),
            "reconstruction": (nll_NHWC.sum(), values),
            "kl": (kl_Nhw.sum(), codes),
            "mse": (error_NHWC.sum(), values),
            "code_perplexity": (perplexity(q_NhwK.mean((0, 1, 2))), one),
            "temperature": (temperature, one),
            "kl_weight": (kl_weight, one),
        }

    def schedules(self, step: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the temperature and the weight of the divergence at an optimizer step."""
        c = self.config
        temperature = half_cosine(c.temperature_start, c.temperature_end, c.temperature_steps, step)
        return temperature, half_cosine(0.0, c.kl_weight, c.kl_steps, step)
