"""ImageNet-21k to token shards of 16 pictures a clip: what the paper's numbers for ImageNet are those of (Table 2).

  python -m toto_jax.pretokenize --config=configs/pretokenize/imagenet21k.py --workdir=runs/paper \\
      --config.data.media=/data/imagenet21k --config.tokenizer.path=/path/to/tokenizer

The archive (fall11_whole.tar, or winter21_whole.tar.gz) comes from image-net.org after registration. Each tar inside
is unpacked into a folder of its name:

  /data/imagenet21k/n00004475/n00004475_6590.JPEG

There is no official split: 0.1 percent is held out. 13.9M pictures (Table 2) are 869 thousand clips of 4,096 codes,
3.6B. Listing them takes some two minutes and 5 GB of memory.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    c = default.get_config()
    c.name = "imagenet21k"
    c.data.layout = "files"
    c.data.labels = "layout"
    c.data.mixture = ConfigDict({"imagenet": 1})
    c.clips.validation_percent = 0.1
    c.clips.files_per_shard = 16_384
    return c
