"""HowTo100M to token shards: clip after clip of each video, without classes.

  python -m toto_jax.pretokenize --config=configs/pretokenize/howto100m.py --workdir=runs/paper \\
      --config.data.media=/data/howto100m/videos --config.tokenizer.path=/path/to/tokenizer

The list is in HowTo100M.zip of www.rocq.inria.fr/cluster-willow/amiech/howto100m; the videos are had by the form that
github.com/antoine77340/MIL-NCE_HowTo100M names, or from YouTube:

  /data/howto100m/HowTo100M_v1.csv                 video_id,category_1,category_2,rank,task_id
  /data/howto100m/videos/<video_id>.mp4            any extension of videos, at any depth

Videos that are listed and not there are rejected by name in rejected.jsonl; more than half of them stop the job.
There is no official split: 0.1 percent is held out.

Table 2 has 1.172M videos and 92,627 hours: with a clip from each 2.13 seconds, as long as 64 frames at 30 a second,
156M clips of 4,096 codes, 640B (the table's 2,560B count every frame). --config.clips.every_seconds=213 would make a
hundredth of that.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    c = default.get_config()
    c.name = "howto100m"
    c.data.layout = "howto100m"
    c.data.annotations = ("../HowTo100M_v1.csv",)
    c.data.mixture = ConfigDict({"howto100m": 1})
    c.clips.every_seconds = 2.13
    c.clips.validation_percent = 0.1
    return c
