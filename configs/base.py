"""Toto-base (120M): the paper's smallest model on its four-source mixture (Table 1, sections 3.2 to 3.4).

  python -m toto_jax.main --config=configs/base.py --workdir=... --config.data.shards=/path/to/shards

Shards: <shards>/{imagenet,ego4d,kinetics600,howto100m}/{train,validation}, each written by
toto_jax.pretokenize with one 8,192-code dVAE at 128 pixels. One million steps of 1M tokens. The paper's final
training loss is 3.58 nats per code (Figure 2). Not run by us at this size: no hours are claimed.

Layouts near the top of `python -m toto_jax.dryrun --config=configs/base.py --topology=... --search`, with room left;
TPU steps compiled, H100 by arithmetic, nothing measured. MFU is bounded by data sheets, with no overlap and with all:

  v5e-256 (v5e:16x16)  as it is                     3.6 GiB a chip, MFU 38 to 76%
  v5p-128 (v5p:4x4x4)  as it is                    14.9 GiB a chip, MFU 51 to 76%
  8 x H100 (h100:8)    --config.model.remat=minimal  41.7 GiB a chip, MFU 50% and above
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    c = default.get_config()
    c.name = "toto-base"
    c.data.shards = "shards"
    c.data.mixture = ConfigDict({"imagenet": 20, "ego4d": 10, "kinetics600": 10, "howto100m": 60})
    c.checkpoint.every = 2_000
    c.evals.validation_loss = ConfigDict(
        dict(type="validation_loss", every=10_000, clips=512, baseline_clips=512, batch_size=64)
    )
    return c
