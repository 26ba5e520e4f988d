"""Closed forms of size and work. What is counted is part of the number, so each docstring says it."""

from toto_jax.models.config import DecoderConfig


def matmul_parameter_count(config: DecoderConfig, vocabulary: int) -> int:
    """Returns N_mm: the parameters that each token is multiplied with, those of the blocks and the head.

    The head counts when it is tied too. The input embedding is looked up and gains scale, so neither does. `vocabulary`
    is the width of the head, whatever it predicts.
    """
    return config.layers * config.block_matrices + vocabulary * config.d_model


def parameter_count(config: DecoderConfig, vocabulary: int) -> int:
    """Returns the number of parameters: N_mm, gains and what is like them and, unless tied, the input embedding.

    The paper's Table 1 (120m, 280m, 1.1b) is met by one vocabulary matrix as by two, within its rounding.
    """
    vectors = config.layers * config.block_vectors + config.end_vectors
    embedding = 0 if config.tied_head else vocabulary * config.d_model
    return matmul_parameter_count(config, vocabulary) + vectors + embedding


def flops_per_token(
    config: DecoderConfig, vocabulary: int, context: int, causal: bool = True, inputs: int = 0
) -> int:
    """Returns the model FLOPs of one training step for each of its tokens, the numerator of MFU.

    6 N_mm for the products with parameters (a multiplication and an addition, once forward and twice backward), and as
    often what mixes positions. For attention that is 6 L d_attn T when causal, where a query sees half of the context
    on average, or 12 L d_attn T when all T x T scores are counted; d_attn = heads * head_dim. For Mamba see its config.
    Not counted: what remat does again, norms, softmax, activations, the optimizer. A forward pass alone is a third.
    Patches are embedded by a product, 4 P D: forward and for the weight's gradient, as pixels need none.

    Args:
      config: the decoder's sizes.
      vocabulary: width of the head: ids, padded, or values of a patch.
      context: T, the positions of a sequence that go into the decoder.
      causal: half of the scores, or all of them, as codes that print higher MFU count.
      inputs: P, values of a position that a product embeds; 0 where ids are looked up.
    """
    matrices = 6 * matmul_parameter_count(config, vocabulary) + 4 * inputs * config.d_model
    return matrices + 3 * config.layers * config.mixing_flops(context, causal)
