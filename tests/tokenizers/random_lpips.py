"""LPIPS with random weights: VGG16's kernels at their size, heads that no symmetry hides."""

import jax
import numpy as np

from toto_jax.tokenizers.perceptual import abstract
from toto_jax.tree import Params


def random_lpips(seed: int = 0) -> Params:
    rng = np.random.default_rng(seed)

    def draw(leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        if leaf.ndim == 4:
            scale = np.sqrt(2 / np.prod(leaf.shape[:3]))
            return (scale * rng.standard_normal(leaf.shape, np.float32)).astype(np.float32)
        return rng.uniform(0, 0.2, leaf.shape).astype(np.float32)

    return jax.tree.map(draw, abstract())
