"""ImageNet-1k as TensorFlow Datasets prepares it (`imagenet2012`), read without TensorFlow.

  pip install 'toto_jax[tfds]'
  python -m toto_jax.pretokenize --config=configs/pretokenize/imagenet_tfds.py --workdir=runs/paper \\
      --config.data.media=/data/tfds/imagenet2012/5.1.0 --config.tokenizer.path=/path/to/tokenizer

The set is prepared once, in a format with random access, from the two official tars in /data/tfds/downloads/manual:

  tfds.builder("imagenet2012", data_dir="/data/tfds").download_and_prepare(file_format="array_record")

Its numbers are those of configs/pretokenize/imagenet.py: 80,073 and 3,125 clips of 4,096 codes. Classes cost one pass
over the records before the first clip; --config.data.labels=none does without.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    c = default.get_config()
    c.name = "imagenet_tfds"
    c.data.layout = "tfds"
    c.data.annotations = ("train", "validation")
    c.data.labels = "layout"
    c.data.mixture = ConfigDict({"imagenet": 1})
    c.clips.files_per_shard = 16_384
    return c
