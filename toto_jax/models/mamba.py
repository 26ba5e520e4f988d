"""Mamba's decoder (2312.00752; paper, Table 6): blocks of a causal convolution and a selective state space.

Shapes: B sequences, T positions, D model width, I channels, N values of a channel's state, R rank of the step's
projection, K width of the convolution.
"""

import dataclasses
import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from toto_jax.models.config import DecoderConfig
from toto_jax.models.functional import parameter
from toto_jax.models.layers import RMSNorm, linear
from toto_jax.models.outputs import Past
from toto_jax.models.selective_scan import selective_scan
from toto_jax.models.stacked import StackedDecoder
from toto_jax.sharding.rules import constrain

# Steps begin between these (2312.00752, section 3.6).
_LEAST_STEP, _MOST_STEP = 1e-3, 1e-1

# What a layer keeps: the last K - 1 inputs of its convolution, and its state_BNI in float32.
ConvolvedState = tuple[jax.Array, jax.Array]


@dataclasses.dataclass(frozen=True)
class MambaConfig(DecoderConfig):
    """Sizes and choices; configs/default.py says what each key means."""

    sizes: ClassVar[tuple[str, ...]] = (*DecoderConfig.sizes, "channels", "state", "step_rank")
    shared_out: ClassVar[tuple[str, ...]] = ("channels",)

    channels: int
    state: int
    step_rank: int
    convolution: int
    chunk: int

    @property
    def block_matrices(self) -> int:
        inner = self.step_rank + 2 * self.state + self.step_rank
        return self.channels * (3 * self.d_model + inner)

    @property
    def block_vectors(self) -> int:
        return self.d_model + self.channels * (self.convolution + 3 + self.state)

    def mixing_flops(self, context: int, causal: bool) -> int:
        """Returns FLOPs of the convolution and of the states: 2 K I and 5 N I, whatever the context.

        An input goes into each state by a product, the state decays by one and is added to, and is read by two more;
        exponentials are not counted, as no activation is.
        """
        del context, causal
        return self.channels * (2 * self.convolution + 5 * self.state)

    @property
    def mixing_rows(self) -> int:
        """A matrix unit's neighbour does this work, about as fast as one of its rows."""
        return 1

    @property
    def block_activations(self) -> int:
        return 6 * self.d_model + 20 * self.channels

    @property
    def exchanged(self) -> int:
        return 3 * self.channels


class Block(nnx.Module):
    """x + mixer(norm(x))."""

    def __init__(self, config: MambaConfig, rngs: nnx.Rngs):
        size, channels, state, rank = config.d_model, config.channels, config.state, config.step_rank
        init = nnx.initializers.normal(config.init_std)
        self.norm = RMSNorm(size, config.norm_eps, rngs)
        self.input = parameter(rngs, (size, channels), ("embed", "mlp"), init)
        self.gate = parameter(rngs, (size, channels), ("embed", "mlp"), init)
        spread = config.convolution**-0.5
        kernel = (config.convolution, channels)
        self.kernel = parameter(rngs, kernel, ("kernel", "mlp"), _uniform(spread))
        self.kernel_bias = parameter(rngs, (channels,), ("bias",), nnx.initializers.zeros)
        selected = (channels, rank + 2 * state)
        self.select = parameter(rngs, selected, ("mlp", "state"), init)
        self.step = parameter(rngs, (rank, channels), ("state", "mlp"), _uniform(rank**-0.5))
        self.step_bias = parameter(rngs, (channels,), ("bias",), _steps)
        self.rates = parameter(rngs, (state, channels), ("rates", "mlp"), _counting)
        self.skip = parameter(rngs, (channels,), ("norm",), nnx.initializers.ones)
        self.output = parameter(rngs, (channels, size), ("mlp", "embed"), init)
        self.rank, self.state, self.chunk = rank, state, config.chunk

    def __call__(
        self, x_BTD: jax.Array, tables: None, past: Past | None
    ) -> tuple[jax.Array, ConvolvedState | None]:
        """Returns the block's output, and what it keeps where a past is given."""
        del tables
        normed_BTD = self.norm(x_BTD)
        # A device has all positions of some channels, each of which goes its own way through time.
        u_BTI, gate_BTI = (
            constrain(linear(normed_BTD, one[...]), "batch", None, "attention_heads")
            for one in (self.input, self.gate)
        )
        batch, _, channels = u_BTI.shape
        if past is None:
            before_BKI = jnp.zeros((batch, self.kernel[...].shape[0] - 1, channels), u_BTI.dtype)
            state_BNI = jnp.zeros((batch, self.state, channels), jnp.float32)
        else:
            before_BKI, state_BNI = past.kept
        u_BTI, before_BKI = self._convolve(u_BTI, before_BKI.astype(u_BTI.dtype))
        y_BTI, state_BNI = self._mix(u_BTI, state_BNI)
        out_BTD = x_BTD + linear(y_BTI * jax.nn.silu(gate_BTI), self.output[...])
        kept = None if past is None else (before_BKI.astype(past.kept[0].dtype), state_BNI)
        return constrain(out_BTD, "batch", "sequence", None), kept

    def _convolve(self, u_BTI: jax.Array, before_BKI: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the convolution of each channel over its last K positions, and the last K - 1 inputs."""
        all_BSI = jnp.concatenate((before_BKI, u_BTI), axis=1)
        length, kernel_KI = u_BTI.shape[1], self.kernel[...].astype(u_BTI.dtype)
        taps = (all_BSI[:, tap : tap + length] * weight_I for tap, weight_I in enumerate(kernel_KI))
        out_BTI = sum(taps) + self.kernel_bias[...].astype(u_BTI.dtype)
        return jax.nn.silu(out_BTI), all_BSI[:, length:]

    def _mix(self, u_BTI: jax.Array, state_BNI: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the state space's output and its last state."""
        selected = linear(u_BTI, self.select[...])
        rank_BTR, b_BTN, c_BTN = jnp.split(selected, (self.rank, self.rank + self.state), axis=-1)
        step_BTI = linear(rank_BTR, self.step[...], jnp.float32) + self.step_bias[...]
        delta_BTI = constrain(jax.nn.softplus(step_BTI), "batch", None, "attention_heads")
        a_NI = -jnp.exp(self.rates[...])
        y_BTI, state_BNI = selective_scan(u_BTI, delta_BTI, a_NI, b_BTN, c_BTN, state_BNI, self.chunk)
        y_BTI = y_BTI + u_BTI.astype(jnp.float32) * self.skip[...]
        return y_BTI.astype(u_BTI.dtype), state_BNI


def _uniform(spread: float) -> nnx.Initializer:
    def init(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -spread, spread)

    return init


def _steps(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype) -> jax.Array:
    """Returns biases whose softplus is spread evenly over the logarithm of first steps."""
    low, high = math.log(_LEAST_STEP), math.log(_MOST_STEP)
    step = jnp.exp(jax.random.uniform(key, shape, dtype, low, high))
    return step + jnp.log(-jnp.expm1(-step))


def _counting(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype) -> jax.Array:
    """Returns log(1), log(2), ... along the first axis (S4D-real, 2206.11893)."""
    del key
    return jnp.broadcast_to(jnp.log(jnp.arange(1, shape[0] + 1, dtype=dtype))[:, None], shape)


@dataclasses.dataclass(frozen=True)
class Mamba(StackedDecoder):
    """Mamba as a `StackedDecoder`: what it keeps of the past is as large for a long one as for a short one."""

    block = Block

    config: MambaConfig

    def tables(self, positions_T: jax.Array) -> None:
        """Returns nothing: order is in the recurrence."""

    def keep(self, batch: int, length: int, dtype: str) -> ConvolvedState:
        """Returns inputs and states of before the first position: zeros."""
        del length
        c = self.config
        return jnp.zeros((batch, c.convolution - 1, c.channels), dtype), jnp.zeros(
            (batch, c.state, c.channels)
        )
