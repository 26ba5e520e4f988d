"""Says what a folder of shards holds, checks every byte of it, and decodes a few clips to look at.

  python -m toto_jax.data.inspect runs/mine/shards/media/train --out=look.png [--tokenizer=runs/mine/tokenizer]

Codes are decoded by the tokenizer that wrote them: --tokenizer, or the run's own where the folder lies in a workdir.
Shards of pixels go through --tokenizer, trained here or imported, with the encoder in float32 and in bfloat16: PSNR,
SSIM, codes used, perplexity, and on the sheet frames beside what is left of them.

  python -m toto_jax.data.inspect runs/dvae/shards/media/validation --tokenizer=runs/dvae/tokenizer --clips=200
"""

import pathlib

from absl import flags

from toto_jax.command_line import run_command
from toto_jax.data.manifest import clip_index, verify
from toto_jax.errors import ConfigError
from toto_jax.evaluation.pictures import contact_sheet, write_png
from toto_jax.evaluation.shard_description import decoded, describe, try_tokenizer

_OUT = flags.DEFINE_string("out", None, "Contact sheet to write; none is written without it.")
_TOKENIZER = flags.DEFINE_string(
    "tokenizer", None, "Folder of the tokenizer that wrote the shards, or to try."
)
_CLIPS = flags.DEFINE_integer("clips", 6, "Clips on the sheet or to try, spread evenly.", lower_bound=1)
_SIDE = 96


def inspect(words: list[str]) -> None:
    """Inspects the folder that the command line names."""
    if len(words) != 1:
        raise ConfigError("Name one folder of shards, e.g. runs/mine/shards/media/train")
    folder = pathlib.Path(words[0])
    manifest = verify(folder)
    index = clip_index(folder, manifest)
    print("\n".join(describe(folder, manifest, index)))
    tokenizer = pathlib.Path(_TOKENIZER.value) if _TOKENIZER.value else None
    tries = tokenizer is not None and manifest.tokenizer.kind == "pixels"
    if tries:
        lines, sheet = try_tokenizer(folder, manifest, _CLIPS.value, tokenizer)
        print("\n".join(lines))
    elif _OUT.value:
        strips = decoded(folder, manifest, index, _CLIPS.value, tokenizer)
        sheet = contact_sheet(strips, max(1, _SIDE // strips[0].frames_FHWC.shape[1]))
    if _OUT.value:
        out = pathlib.Path(_OUT.value)
        out.parent.mkdir(parents=True, exist_ok=True)
        write_png(out, sheet)
        print(f"Contact sheet in {out}")


if __name__ == "__main__":
    run_command(inspect)
