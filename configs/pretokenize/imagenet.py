"""ImageNet-1k (ILSVRC 2012), train and val, to token shards of 16 pictures a clip.

  python -m toto_jax.pretokenize --config=configs/pretokenize/imagenet.py --workdir=runs/paper \\
      --config.data.media=/data/imagenet --config.tokenizer.path=/path/to/tokenizer

ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar come from image-net.org after registration, each of the 1,000
inner tars of the first unpacked into a folder of its name:

  /data/imagenet/train/n01440764/n01440764_10026.JPEG
  /data/imagenet/val/n01440764/ILSVRC2012_val_00000293.JPEG

A flat val folder is taken too: with a file of its classes, see docs/data.md, or --config.data.labels=none.

1,281,167 pictures are 80,073 clips of 4,096 codes, 328M; the 50,000 of val are 3,125 clips. The paper's ImageNet
(Table 2: 13.9M pictures, 3.6B codes) is the larger one: configs/pretokenize/imagenet21k.py.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    c = default.get_config()
    c.name = "imagenet"
    c.data.layout = "imagenet"
    c.data.labels = "layout"
    c.data.mixture = ConfigDict({"imagenet": 1})
    c.clips.files_per_shard = 16_384
    return c
