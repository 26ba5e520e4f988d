"""VQGAN f/16 (2012.09841), the tokenizer of the paper's comparison (Table 3), and four of its descendants.

  python -m toto_jax.main --config=configs/tokenizers/vqgan.py:1024 --workdir=... --config.data.media=/path/to/images

| variant | codes | what is different |
|---|---|---|
| 1024 | 1,024 of 256 channels | as published |
| 16384 | 16,384 of 256 channels | as its checkpoint's YAML is quoted: a discriminator of two layers from the start |
| directions | 16,384 of 8 channels | directions only, running means, dead codes start anew (2110.04627, 2406.06525) |
| fsq | 15,360: levels 8, 8, 8, 6, 5 | no codebook, all codes reachable (2309.15505) |
| lfq | 16,384: 14 bits | no codebook, an entropy term spreads the codes (2310.05737) |
| bsq | 16,384: 14 bits | the same on a sphere (2406.07548) |

Of the published 16,384 codes about 6 % are alive. The tokenizer is saved in <workdir>/tokenizer, or where
config.tokenizer.path says. Clips of 256 pixels become 16 x 16 codes a frame. 72M parameters, and 2.8M of the
discriminator. Not run by us at this size: no hours and no numbers are claimed. Networks, losses and gradients are
checked against the published code on random weights.

Where this differs: there is no perceptual loss unless its weights are given (its network was trained with ImageNet's
labels, and they are somebody else's), which costs sharpness; with them, --config.vqgan.perceptual_weight=1.0
--config.vqgan.perceptual_weights=... is as published. Tokenizer and discriminator learn in one pass from one batch; the
batch norm of the discriminator sees the whole batch, not that of one device (with train.microbatches=1). The
publication names no number of steps.
"""

from ml_collections import ConfigDict

from configs import default

VARIANTS = {
    "1024": {"tokenizer.codebook_size": 1024},
    "16384": {
        "tokenizer.codebook_size": 16_384,
        "vqgan.adversarial_weight": 0.75,
        "vqgan.adversarial_start": 0,
        "vqgan.discriminator_start": 0,
        "vqgan.discriminator_layers": 2,
    },
    "directions": {
        "tokenizer.codebook_size": 16_384,
        "tokenizer.code_width": 8,
        "tokenizer.normalize": True,
        "vqgan.codebook": "averaged",
        "vqgan.restart_below": 0.03,
    },
    "fsq": {
        "tokenizer.quantizer": "fsq",
        "tokenizer.levels": (8, 8, 8, 6, 5),
        "tokenizer.code_width": 5,
        "tokenizer.codebook_size": 15_360,
    },
    "lfq": {
        "tokenizer.quantizer": "lfq",
        "tokenizer.code_width": 14,
        "tokenizer.codebook_size": 16_384,
        "vqgan.commitment_weight": 0.25,
    },
}
VARIANTS["bsq"] = {**VARIANTS["lfq"], "tokenizer.quantizer": "bsq"}


def get_config(variant: str = "1024") -> ConfigDict:
    if variant not in VARIANTS:
        raise ValueError(f"configs/tokenizers/vqgan.py knows {', '.join(VARIANTS)}, not {variant!r}")
    c = default.get_config()
    c.name = f"vqgan {variant}"
    c.task = "tokenizer"

    c.clips.size = 256
    c.clips.frames = 1
    c.clips.per_video = 16

    c.tokenizer.kind = "vqgan"
    c.tokenizer.halvings = 4
    c.tokenizer.width = 128
    c.tokenizer.blocks = 2
    c.tokenizer.multipliers = (1, 1, 2, 2, 4)
    c.tokenizer.attention = (4,)

    c.optimizer.learning_rate = 4.3e-4  # 4.5e-6 for each example of a batch, as published
    c.optimizer.end_learning_rate = 4.3e-4
    c.optimizer.warmup_steps = 0
    c.optimizer.b1 = 0.5
    c.optimizer.b2 = 0.9
    c.optimizer.weight_decay = 0.0
    c.optimizer.clip_norm = 0.0

    c.train.steps = 500_000
    c.train.batch_size = 96

    c.evals.reconstruction = ConfigDict(dict(type="reconstruction", every=5000, clips=16))
    c.update_from_flattened_dict(VARIANTS[variant])
    return c
