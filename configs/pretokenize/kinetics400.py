"""Kinetics-400 to token shards: five clips of each video, about what one pass over every 4th frame sees.

  python -m toto_jax.pretokenize --config=configs/pretokenize/kinetics400.py --workdir=runs/k400 \\
      --config.data.media=/data/k400 --config.tokenizer.path=/path/to/tokenizer

github.com/cvdfoundation/kinetics-dataset has the archives' addresses, scripts (k400_downloader.sh, k400_extractor.sh)
and the official lists:

  /data/k400/annotations/train.csv, val.csv        label,youtube_id,time_start,time_end,split
  /data/k400/train/-3B32lodo2M_000059_000069.mp4   flat, or at any depth below
  /data/k400/replacement/...                       takes the place of damaged videos

Videos that are listed and not there are rejected by name in rejected.jsonl; more than half of them stop the job.

The archives have 240,258 videos to train on and 19,881 to validate (of 246,534 and 19,906 rows): 1.2M and 99 thousand
clips of 4,096 codes, 4.9B and 0.4B. For lists of 'path label' lines set --config.data.layout=listed.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    c = default.get_config()
    c.name = "kinetics400"
    c.data.layout = "kinetics"
    c.data.annotations = ("annotations/train.csv", "annotations/val.csv")
    c.data.labels = "layout"
    c.data.mixture = ConfigDict({"kinetics400": 1})
    c.clips.per_video = 5
    return c
