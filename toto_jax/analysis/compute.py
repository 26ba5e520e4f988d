"""Compute in the three conventions that get mixed up, and the laws that others have printed, each in its own.

A run's compute is that of its forward passes over all it has been trained on, in multiply-accumulates (MACs). The
backward pass takes twice as many and each is two operations, so training FLOPs are six times that. The axis of the
paper's Figure 9 counts MACs of one token times the number of sequences: what a whole sequence takes is left out.
"""

import dataclasses

import numpy as np

# Codes of the paper's sequences, and what its law counts in: 7.32 comes out for C = (MACs of its axis) / 1e6.
_PAPER_TOKENS = 4_096
_PAPER_UNIT = 1e6
FLOPS_PER_MAC = 6
# GPT-3's law is in days of 1e15 training FLOPs a second (2005.14165, figure 3.1).
_PETAFLOP_DAY = 1e15 * 86_400


@dataclasses.dataclass(frozen=True)
class Convention:
    """One way to count compute.

    Attributes:
      label: of an axis.
      meaning: what is counted, in a sentence.
      per_mac: what a multiply-accumulate of the forward pass counts.
      per_sequence: whether a sequence counts as one of its tokens.
      unit: what a law's C counts in.
    """

    label: str
    meaning: str
    per_mac: float = 1.0
    per_sequence: bool = False
    unit: float = 1.0

    def of(self, macs: np.ndarray | float, tokens: int) -> np.ndarray | float:
        """Returns the compute of so many MACs of forward passes over sequences of `tokens` tokens."""
        return macs * self.per_mac / (tokens if self.per_sequence else 1)

    def macs(self, compute: np.ndarray | float, tokens: int) -> np.ndarray | float:
        """Returns the MACs of forward passes: the inverse of `of`."""
        return compute / self.of(1.0, tokens)


CONVENTIONS = {
    "macs": Convention("compute, MACs of forward passes", "Multiply-accumulates of all forward passes."),
    "flops": Convention(
        "compute, training FLOPs",
        "Floating-point operations of training: six for each multiply-accumulate of a forward pass.",
        per_mac=FLOPS_PER_MAC,
    ),
    "paper": Convention(
        "compute as the paper counts, MACs of a token x sequences",
        "The axis of the paper's Figure 9: multiply-accumulates of the forward pass of one token, times the number "
        "of sequences. C in a law is that over 1e6, as in the paper's.",
        per_sequence=True,
        unit=_PAPER_UNIT,
    ),
}


def paper_law(compute: np.ndarray, convention: Convention) -> np.ndarray:
    """Returns the paper's 7.32 C^-0.0378 (Figure 9), nats per code, at compute in a convention."""
    axis = CONVENTIONS["paper"].of(convention.macs(compute, _PAPER_TOKENS), _PAPER_TOKENS)
    return 7.32 * (axis / _PAPER_UNIT) ** -0.0378


def gpt3_law(compute: np.ndarray, convention: Convention) -> np.ndarray:
    """Returns GPT-3's 2.57 C^-0.048, nats per token of text, which the paper puts beside its own.

    Text is another thing than video: slopes compare, heights don't. Sequences are taken to be as long as the paper's.
    """
    flops = FLOPS_PER_MAC * convention.macs(compute, _PAPER_TOKENS)
    return 2.57 * (flops / _PETAFLOP_DAY) ** -0.048
