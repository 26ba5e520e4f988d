"""Videos or images in lists of 'path label' lines, as SlowFast and mmaction have them, to token shards.

  python -m toto_jax.pretokenize --config=configs/pretokenize/listed.py --workdir=runs/mine \\
      --config.data.media=/data/videos --config.tokenizer.path=/path/to/tokenizer

  /data/videos/train.csv, val.csv                  abseiling/0wR5jVB-WPk.mp4 0
  /data/videos/abseiling/0wR5jVB-WPk.mp4           or a folder of frames

Path and label stand apart by a space, a comma or a tab; paths are relative to config.data.media, or absolute. Other
names of lists: --config.data.annotations="('a.txt','b.txt')". Each video gives one clip of 4,096 codes.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    c = default.get_config()
    c.name = "listed"
    c.data.layout = "listed"
    c.data.annotations = ("train.csv", "val.csv")
    c.data.labels = "layout"
    c.data.mixture = ConfigDict({"media": 1})
    return c
