"""The least time that a step can take on a chip's published figures, and what it spends it on."""

import dataclasses
from collections.abc import Sequence

from toto_jax.models.config import DecoderConfig
from toto_jax.models.counts import flops_per_token, matmul_parameter_count
from toto_jax.planning.collectives import Collective
from toto_jax.planning.network import Network
from toto_jax.sharding.chips import Chip

RESOURCES = {
    "compute": "matrix unit",
    "HBM": "memory bandwidth",
    "ICI": "links inside a slice or node",
    "DCN": "network between slices or nodes",
}

# Remat policy -> the parts of a forward pass that are computed again.
REPEATED = {
    "none": (),
    "minimal": (),
    "dots": ("attention",),
    "offload": ("attention",),
    "attention": ("blocks",),
    "full": ("blocks", "attention"),
}


@dataclasses.dataclass(frozen=True)
class Roofline:
    """Seconds a step that each resource is busy, each at its published peak; keys are those of `RESOURCES`."""

    seconds: dict[str, float]

    @property
    def bottleneck(self) -> str:
        return max(self.seconds, key=lambda name: self.seconds[name])

    @property
    def step_seconds(self) -> float:
        """If everything overlaps: no real step is faster."""
        return max(self.seconds.values())

    @property
    def step_seconds_in_turn(self) -> float:
        """If nothing overlaps: the resources wait for each other."""
        return sum(self.seconds.values())


def computed_flops_per_token(config: DecoderConfig, vocabulary: int, context: int, chip: Chip) -> float:
    """Returns the FLOPs that a matrix unit spends on a token in training, what it repeats and wastes included.

    The causal model FLOPs, and besides: what remat computes again (`models.remat`), the scores that a backward pass
    computes again because no kernel keeps them, and in attention the part of the unit that lies idle when a head is
    narrower than the unit.
    """
    matrices = matmul_parameter_count(config, vocabulary)
    attention = flops_per_token(config, vocabulary, context) - 6 * matrices
    forward = {"blocks": 2 * (matrices - vocabulary * config.d_model), "attention": attention / 3}
    idle = max(chip.matrix_unit / config.mixing_rows, 1.0)
    scores = attention / 6
    repeated = {part: flops for part, flops in forward.items() if part in REPEATED[config.remat]}
    inside = attention + scores + repeated.get("attention", 0.0)
    return 6 * matrices + repeated.get("blocks", 0.0) + inside * idle


def memory_traffic(
    config: DecoderConfig,
    vocabulary: int,
    tokens: float,
    state_bytes: float,
    weight_bytes: float,
    passes: int,
) -> float:
    """Returns the bytes that one device moves to and from its memory in a step, by a rule of thumb.

    Activations: each product, norm, rotation and residual reads and writes its arrays once (of a LLaMA
    14 D + 12 N H + 6 M numbers for a token and layer), 2 bytes a number, once forward and twice backward, and once more
    where remat repeats the blocks; logits are written and read three times in float32. Attention is taken to keep its
    scores on the chip. Weights: read in each pass, forward, backward and again. State: read and written once, and
    gradients written and read.

    Args:
      config: the decoder's sizes.
      vocabulary: ids, padded.
      tokens: of a device in a step.
      state_bytes: parameters and optimizer on a device.
      weight_bytes: all weights in the compute dtype as a device sees them, gathered.
      passes: microbatches.
    """
    again = 1 if "blocks" in REPEATED[config.remat] else 0
    activations = tokens * (config.layers * config.block_activations * 2 * (3 + again) + 6 * 4 * vocabulary)
    weights = passes * weight_bytes * (3 + again)
    return activations + weights + 2 * state_bytes + 2 * state_bytes / 3


def roofline(flops: float, traffic: float, collectives: Sequence[Collective], network: Network) -> Roofline:
    """Returns the seconds that each resource is busy in a step.

    Args:
      flops: of one device.
      traffic: bytes to and from the memory of one device.
      collectives: of the step.
      network: between the devices.
    """
    chip = network.machine.chip
    times = [network.seconds(one) for one in collectives]
    return Roofline(
        {
            "compute": flops / chip.flops,
            "HBM": traffic / chip.memory_bandwidth,
            "ICI": sum(ici for ici, _ in times),
            "DCN": sum(dcn for _, dcn in times),
        }
    )
