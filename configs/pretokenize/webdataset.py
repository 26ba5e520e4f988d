"""Tar shards in WebDataset's form to token shards.

  python -m toto_jax.pretokenize --config=configs/pretokenize/webdataset.py --workdir=runs/mine \\
      --config.data.media=/data/shards --config.tokenizer.path=/path/to/tokenizer

  /data/shards/imagenet-train-000000.tar           n01440764_10026.jpg, n01440764_10026.cls, ...
  /data/shards/imagenet-validation-000000.tar

Videos and images are read where they lie in a tar, which must not be compressed. A class is in <key>.cls, or under
"label" or "cls" in <key>.json. Tars with the word train, val or test in their path are that split's; without, 2
percent is held out.

A clip of 4,096 codes comes of each 16 images (1,281,167 are 80,073 clips, 328M codes) or each video.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    c = default.get_config()
    c.name = "webdataset"
    c.data.layout = "webdataset"
    c.data.labels = "layout"
    c.data.mixture = ConfigDict({"media": 1})
    return c
