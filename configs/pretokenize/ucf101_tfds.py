"""UCF101 as TensorFlow Datasets prepares it, read without TensorFlow: the example for its sets of videos.

  pip install 'toto_jax[tfds]'
  python -m toto_jax.pretokenize --config=configs/pretokenize/ucf101_tfds.py --workdir=runs/ucf101 \\
      --config.data.media=/data/tfds/ucf101/ucf101_1/2.0.0 --config.tokenizer.path=/path/to/tokenizer

The set is prepared once, in a format with random access (this step needs TensorFlow and FFmpeg):

  tfds.builder("ucf101/ucf101_1", data_dir="/data/tfds").download_and_prepare(file_format="array_record")

Its videos are stored as pictures. Their numbers are those of configs/pretokenize/ucf101.py: 28,611 clips to train on
and 11,349 to test, of 4,096 codes each.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    c = default.get_config()
    c.name = "ucf101_tfds"
    c.data.layout = "tfds"
    c.data.annotations = ("train", "test")
    c.data.labels = "layout"
    c.data.mixture = ConfigDict({"ucf101": 1})
    c.clips.per_video = 3
    return c
