"""LLaMA, GPT-2 and Mamba of about 280M parameters on the same tokens (paper, Table 6).

  python -m toto_jax.main --config=configs/architectures.py:mamba --workdir=... --config.data.shards=/path/to/shards

Variants: llama (configs/large.py), gpt2 (21 layers; LLaMA's 16 would make it a model of 220M), mamba (41 layers of
2,048 channels). Of GPT-2 and Mamba the paper says no more than 280m and 290m; it found 53.2, 48.5 and 40.7 % top-1 on
ImageNet. Not run by us at this size.
"""

from ml_collections import ConfigDict

from configs import large

KINDS = ("llama", "gpt2", "mamba")


def get_config(kind: str = "llama") -> ConfigDict:
    if kind not in KINDS:
        raise ValueError(f"configs/architectures.py knows {', '.join(KINDS)}, not {kind!r}")
    c = large.get_config()
    c.name = f"toto-large-{kind}"
    c.model.kind = kind
    if kind == "gpt2":
        c.model.layers = 21
        c.model.norm_eps = 1e-5
    if kind == "mamba":
        c.model.layers = 41
        c.model.channels = 2048
        c.model.step_rank = 64
        c.model.norm_eps = 1e-5
    return c
