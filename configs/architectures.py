"""LLaMA, GPT-2 and Mamba of about 280M parameters on ImageNet-1k, then probed (paper, section 4.1 and Table 6).

  python -m toto_jax.main --config=configs/architectures.py:mamba --workdir=... --config.data.shards=/path/to/shards

Variants: llama (configs/large.py), gpt2 (21 layers; LLaMA's 16 would make it a model of 220M), mamba (41 layers of
2,048 channels). Of GPT-2 and Mamba the paper says no more than 280m and 290m. It trained for 400 epochs and found 53.2,
48.5 and 40.7 % top-1 by a linear probe: `average_accuracy` in the report. 16 images are a sequence and 256 sequences a
batch, so that is 125,114 steps; the paper doesn't give this study's batch. <shards>/imagenet/{train,validation} are of
128 pixels, written with one 8,192-code dVAE. Not run by us at this size.
"""

from ml_collections import ConfigDict

from configs import large
from configs.image_probes import image_probes, steps

KINDS = ("llama", "gpt2", "mamba")
EPOCHS = 400


def get_config(kind: str = "llama") -> ConfigDict:
    if kind not in KINDS:
        raise ValueError(f"configs/architectures.py knows {', '.join(KINDS)}, not {kind!r}")
    c = large.get_config()
    c.name = f"toto-large-{kind}"
    c.model.kind = kind
    c.data.mixture = ConfigDict({"imagenet": 1})
    c.train.steps = steps(EPOCHS, c.clips.frames * c.train.batch_size)
    c.evals.probes = image_probes()
    if kind == "gpt2":
        c.model.layers = 21
        c.model.norm_eps = 1e-5
    if kind == "mamba":
        c.model.layers = 41
        c.model.channels = 2048
        c.model.step_rank = 64
        c.model.norm_eps = 1e-5
    return c
