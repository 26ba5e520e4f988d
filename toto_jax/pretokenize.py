"""Turns videos and images into token shards, or pixel shards if config.tokenizer.kind is "pixels", or the task's both.

  python -m toto_jax.pretokenize --config=configs/quickstart.py --workdir=runs/quickstart

Killed and run again, it goes on where it stopped and ends with the same bytes.
"""

import pathlib

from absl import flags
from ml_collections import config_flags

from toto_jax.command_line import run_command
from toto_jax.data.manifest import Manifest
from toto_jax.data.pretokenization import LEDGER, pretokenize
from toto_jax.settings import parse
from toto_jax.tokenizers.loading import load_tokenizer

_CONFIG = config_flags.DEFINE_config_file("config", None, "Config file; override with --config.key=value.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run; shards go to <workdir>/shards.")
flags.mark_flags_as_required(["config", "workdir"])


def write_shards() -> None:
    """Writes the shards that the config describes and says what they hold."""
    workdir = pathlib.Path(_WORKDIR.value)
    settings = parse(_CONFIG.value)
    data = settings.data
    for what, shards in settings.shard_folders(workdir).items():
        tokenizer, out = None, shards / next(iter(data.mixture))
        if what == "codes" and settings.tokenizer.kind != "pixels":
            tokenizer = load_tokenizer(pathlib.Path(settings.tokenizer.path or workdir / "tokenizer"))
        manifests = pretokenize(data.media, data.labels, settings.clips, tokenizer, out, settings.seed)
        for split, manifest in manifests.items():
            print(_summary(manifest, out / split))


def _summary(manifest: Manifest, folder: pathlib.Path) -> str:
    shape = " x ".join(map(str, manifest.shape))
    what = "pixels" if manifest.tokenizer.kind == "pixels" else "codes"
    line = f"{folder}: {manifest.records:,} clips of {shape} {what} in {len(manifest.shards)} shards"
    if manifest.rejected:
        line += f"\n  {manifest.rejected:,} files could not be used; {folder / LEDGER} says why"
    return line


if __name__ == "__main__":
    run_command(write_shards)
