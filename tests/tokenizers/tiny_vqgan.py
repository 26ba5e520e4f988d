"""A VQGAN that is as narrow as its group norms allow."""

from typing import Any

from toto_jax.tokenizers.vqgan import VQGAN
from toto_jax.tokenizers.vqgan_network import VQGANConfig

SIZES = {
    "codebook_size": 24, "quantizer": "vq", "code_width": 6, "normalize": False, "levels": (), "codes_per_position": 1,
    "halvings": 2, "width": 32, "multipliers": (1, 1, 2), "blocks": 1, "attention": (2,), "latent": 12,
}  # fmt: skip


def tiny_vqgan(**changes: Any) -> VQGAN:
    return VQGAN(VQGANConfig(**(SIZES | changes)))
