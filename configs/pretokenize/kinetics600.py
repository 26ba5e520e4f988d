"""Kinetics-600 to token shards: five clips of each video, about what one pass over every 4th frame sees.

  python -m toto_jax.pretokenize --config=configs/pretokenize/kinetics600.py --workdir=runs/paper \\
      --config.data.media=/data/k600 --config.tokenizer.path=/path/to/tokenizer

github.com/cvdfoundation/kinetics-dataset has the archives' addresses and scripts (k600_downloader.sh,
k600_extractor.sh) and the official lists, of which train.txt and val.txt are the complete ones:

  /data/k600/annotations/train.txt, val.txt        label,youtube_id,time_start,time_end,split
  /data/k600/train/-0-8vlGA_c0_000000_000010.mp4   flat, or at any depth below

Videos that are listed and not there are rejected by name in rejected.jsonl; more than half of them stop the job.

Table 2 has 0.53M videos: 2.65M clips of 4,096 codes, 10.9B. (Its 41.3B codes count each of the 30 frames a second of
1,496 hours; every 4th of them are 10.3B.)
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    c = default.get_config()
    c.name = "kinetics600"
    c.data.layout = "kinetics"
    c.data.annotations = ("annotations/train.txt", "annotations/val.txt")
    c.data.labels = "layout"
    c.data.mixture = ConfigDict({"kinetics600": 1})
    c.clips.per_video = 5
    return c
