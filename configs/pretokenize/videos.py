"""Any folder of videos or images to token shards, at any depth, without lists.

  python -m toto_jax.pretokenize --config=configs/pretokenize/videos.py --workdir=runs/mine \\
      --config.data.media=/data/videos --config.tokenizer.path=/path/to/tokenizer

  /data/videos/holidays/2019/beach.mov

Each video gives one clip of 4,096 codes, and each 16 images; 2 percent is held out, by a hash of the names. With
--config.data.labels=layout a file's folder is its class.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    c = default.get_config()
    c.name = "videos"
    c.data.layout = "files"
    c.data.mixture = ConfigDict({"media": 1})
    return c
