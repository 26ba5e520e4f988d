"""What tasks have in common whose model is a decoder over the positions of a clip: of codes, or of patches.

Shapes: B clips, T positions, N codes or patches of a clip, L layers, D model width.
"""

from typing import Any, Protocol

import jax

from toto_jax.models.decoder import Decoder
from toto_jax.training.task import Batch, Task
from toto_jax.tree import Params
from toto_jax.video import ClipGeometry


class SequenceTask(Task, Protocol):
    """A task of one decoder. Its batches are those of `video.to_batch`.

    Attributes:
      decoder: the transformer.
      geometry: frames of a clip, and codes or patches of a frame.
      units: what positions are, "tokens" or "patches".
      context: positions of a clip that go into the decoder.
      inputs: values of a position that a product embeds; 0 where ids are looked up.
      outputs: width of the head.
      scales: tree of each parameter's factors, `models.parametrisation.Scale`.
    """

    decoder: Decoder
    geometry: ClipGeometry
    units: str
    context: int
    inputs: int
    outputs: int
    scales: Any

    def features(self, params: Params, batch: Batch, layers: tuple[int, ...]) -> jax.Array:
        """Returns hidden_LBND at the codes or patches, not at the start token; clips may have fewer frames.

        Args:
          params: as of `init`.
          batch: of clips.
          layers: 0 for the embedding's output, i for that of block i.
        """

    def position_loss(self, params: Params, batch: Batch) -> jax.Array:
        """Returns loss_BN of predicting each code or patch of a batch from all before it."""
