"""Toto-1b (1.1B): the paper's largest model (Table 1).

  python -m toto_jax.main --config=configs/1b.py --workdir=... --config.data.shards=/path/to/shards

Data as in configs/base.py. The feed-forward is 5,632 wide (LLaMA's rule of 8/3 d, rounded up to 256): with
four times the width, as the smaller sizes have, it would be a model of 1.5B. The paper's final training loss
is 3.31 nats per code (Figure 2). Not run by us at this size.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    c = base.get_config()
    c.name = "toto-1b"
    c.model.layers = 22
    c.model.d_model = 2048
    c.model.heads = c.model.kv_heads = 16
    c.model.head_dim = 128
    c.model.d_ff = 5632
    c.model.remat = "full"
    return c
