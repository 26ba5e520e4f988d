"""What runs on ImageNet-1k share: how many images it has, and probes of frozen features that see each once."""

import math

from ml_collections import ConfigDict

IMAGES = 1_281_167  # of the train split; 50,000 for validation


def steps(epochs: int, images_a_step: int) -> int:
    """Returns the steps of so many passes over the train split."""
    return math.ceil(epochs * IMAGES / images_a_step)


def image_probes() -> ConfigDict:
    """Returns the evaluator: all layers, one pass over the train split, rate and decay of AIM's recipe."""
    return ConfigDict(
        dict(
            type="probes", every=0, source="imagenet", train_clips=IMAGES, validation_clips=50_000, batch_size=256,
            steps=IMAGES // 256, learning_rate=1e-3, weight_decay=0.05, heads=8,
        )
    )  # fmt: skip
