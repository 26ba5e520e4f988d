"""Toto-large (280M): the model of the paper's design study and of most of its evaluations (Table 1).

  python -m toto_jax.main --config=configs/large.py --workdir=... --config.data.shards=/path/to/shards

Data as in configs/base.py. The paper's final training loss is 3.47 nats per code (Figure 2). Not run by us at
this size.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    c = base.get_config()
    c.name = "toto-large"
    c.model.layers = 16
    c.model.d_model = 1024
    c.model.heads = c.model.kv_heads = 16
    c.model.head_dim = 64
    c.model.d_ff = 4096
    return c
