"""Ego4D to token shards: clip after clip of each full-length video, without classes.

  python -m toto_jax.pretokenize --config=configs/pretokenize/ego4d.py --workdir=runs/paper \\
      --config.data.media=/data/ego4d/v2/full_scale --config.tokenizer.path=/path/to/tokenizer

With the licence's keys, `ego4d --output_directory=/data/ego4d --datasets full_scale --version v2` leaves

  /data/ego4d/v2/ego4d.json
  /data/ego4d/v2/full_scale/manifest.csv           video_uid,...
  /data/ego4d/v2/full_scale/<video_uid>.mp4

The smaller `video_540ss` (540 pixels) has the same form and suffices. ego4d.json instead of the
manifest: --config.data.annotations="('../ego4d.json',)". Splits of Ego4D belong to its benchmarks, so 2 percent is
held out.

Table 2 has 3,750 hours: with a clip from each 2.13 seconds, as long as 64 frames at 30 a second, 6.3M clips of 4,096
codes, 25.9B (the table's 103B count every frame).
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    c = default.get_config()
    c.name = "ego4d"
    c.data.layout = "ego4d"
    c.data.annotations = ("manifest.csv",)
    c.data.mixture = ConfigDict({"ego4d": 1})
    c.clips.every_seconds = 2.13
    c.clips.files_per_shard = 16
    return c
