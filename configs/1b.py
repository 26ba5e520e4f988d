"""Toto-1b (1.1B): the paper's largest model (Table 1).

  python -m toto_jax.main --config=configs/1b.py --workdir=... --config.data.shards=/path/to/shards

Data as in configs/base.py. The feed-forward is 5,632 wide (LLaMA's rule of 8/3 d, rounded up to 256): with
four times the width, as the smaller sizes have, it would be a model of 1.5B. The paper's final training loss
is 3.31 nats per code (Figure 2). Not run by us at this size. As it is, with all activations computed again, it
fits even two slices of v5e:4x4 (10.5 GiB a chip).

Layouts near the top of `python -m toto_jax.dryrun --config=configs/1b.py --topology=... --search`, with room left;
TPU steps compiled, H100 by arithmetic, nothing measured. MFU is bounded by data sheets, with no overlap and with all:

  v5e-256 (v5e:16x16)  --config.model.remat=minimal   5.0 GiB a chip, MFU 53 to 98%
  v5p-128 (v5p:4x4x4)  --config.model.remat=minimal  19.0 GiB a chip, MFU 72 to 98%
  8 x H100 (h100:8)    --config.model.remat=minimal --config.train.microbatches=4
                                                   39.8 GiB a chip, MFU 65% and above
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
