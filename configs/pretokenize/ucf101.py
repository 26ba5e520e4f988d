"""UCF101 to token shards by its first official split: three clips of each video.

  python -m toto_jax.pretokenize --config=configs/pretokenize/ucf101.py --workdir=runs/ucf101 \\
      --config.data.media=/data/ucf101/UCF-101 --config.tokenizer.path=/path/to/tokenizer

UCF101.rar and UCF101TrainTestSplits-RecognitionTask.zip come from www.crcv.ucf.edu/data/UCF101.php:

  /data/ucf101/UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi
  /data/ucf101/ucfTrainTestlist/trainlist01.txt, testlist01.txt

9,537 videos to train on and 3,783 to test are 28,611 and 11,349 clips of 4,096 codes, 117M and 46M.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    c = default.get_config()
    c.name = "ucf101"
    c.data.layout = "ucf101"
    c.data.annotations = ("../ucfTrainTestlist/trainlist01.txt", "../ucfTrainTestlist/testlist01.txt")
    c.data.labels = "layout"
    c.data.mixture = ConfigDict({"ucf101": 1})
    c.clips.per_video = 3
    return c
