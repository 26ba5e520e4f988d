"""Toto-large (280M): the model of the paper's design study and of most of its evaluations (Table 1).

  python -m toto_jax.main --config=configs/large.py --workdir=... --config.data.shards=/path/to/shards

Data as in configs/base.py. The paper's final training loss is 3.47 nats per code (Figure 2). Not run by us at
this size.

Layouts near the top of `python -m toto_jax.dryrun --config=configs/large.py --topology=... --search`, with room left;
TPU steps compiled, H100 by arithmetic, nothing measured. MFU is bounded by data sheets, with no overlap and with all:

  v5e-256 (v5e:16x16)  as it is                     6.4 GiB a chip, MFU 41 to 79%
  v5p-128 (v5p:4x4x4)  as it is                    25.9 GiB a chip, MFU 56 to 79%
  8 x H100 (h100:8)    --config.model.remat=minimal --config.train.microbatches=2
                                                   35.2 GiB a chip, MFU 55% and above
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
