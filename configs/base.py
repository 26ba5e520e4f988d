"""Toto-base (120M): the paper's smallest model on its four-source mixture (Table 1, sections 3.2 to 3.4).

  python -m toto_jax.main --config=configs/base.py --workdir=... --config.data.shards=/path/to/shards

Shards: <shards>/{imagenet,ego4d,kinetics600,howto100m}/{train,validation}, each written by
toto_jax.pretokenize with one 8,192-code dVAE at 128 pixels. One million steps of 1M tokens. The paper's final
training loss is 3.58 nats per code (Figure 2). Not run by us at this size: no hours are claimed.
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
