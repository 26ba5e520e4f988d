"""Continuous patches in place of tokens: the paper's two alternatives (Table 3), and both in miniature.

| variant | in | out |
|---|---|---|
| patch | 16 x 16 patches of 256 pixels | the next patch's normalised pixels; 60.6 in Table 3 (dVAE to dVAE: 61.2) |
| codes | 8 x 8 patches of 128 pixels | the next dVAE code out of 8,192; 58.5 in Table 3 |
| small_patch | 4 x 4 patches of 32 pixels | as patch, on rendered clips, with two CPU cores, in minutes |
| small_codes | 4 x 4 patches of 32 pixels | as codes, likewise, with a dVAE trained on the way |

  python -m toto_jax.main --config=configs/patches.py:small_patch --workdir=runs/small_patch
  python -m toto_jax.main --config=configs/patches.py:small_codes --workdir=runs/small_codes

The first two are the paper's: Toto-large on ImageNet, 16 images a clip and 256 positions an image, 400 epochs (125,000
steps of 1M positions). The paper says neither how large patches are nor how they are normalised: they are MAE's.

  python -m toto_jax.main --config=configs/patches.py:patch --workdir=... --config.data.media=/path/to/imagenet
  python -m toto_jax.main --config=configs/patches.py:codes --workdir=... --config.data.media=/path/to/imagenet \\
      --config.tokenizer.path=/path/to/dvae

Shards of pixels are large (up to 197 kB an image of 256 pixels). They are written first, by the same command or by
toto_jax.pretokenize; `codes` writes shards of the same clips' codes beside them. Shards of several sources go where
config.data.shards says (pixels), and config.data.paired (codes). Not run by us at this size: no hours and no numbers
are claimed.
"""

from ml_collections import ConfigDict

from configs import large, quickstart

VARIANTS = ("patch", "codes", "small_patch", "small_codes")


def get_config(variant: str = "patch") -> ConfigDict:
    if variant not in VARIANTS:
        raise ValueError(f"configs/patches.py knows {', '.join(VARIANTS)}, not {variant!r}")
    small, codes = variant.startswith("small"), variant.endswith("codes")
    c = quickstart.get_config() if small else large.get_config()
    c.name = f"patches {variant}"
    c.task = "patch_to_code" if codes else "patch_to_patch"
    if small:
        c.patches.side = 4
        c.patches.loss_chunks = 1
        c.optimizer.learning_rate = 2e-3
        del c.evals.rollout
    else:
        c.data.shards = ""
        c.data.mixture = ConfigDict({"imagenet": 1})
        c.clips.size = 128 if codes else 256
        c.patches.side = 8 if codes else 16
        c.train.steps = 125_000
    if not codes:
        c.tokenizer.kind = "pixels"
        c.tokenizer.training = None
        c.evals.patch_loss = c.evals.validation_loss.copy_and_resolve_references()
        c.evals.patch_loss.type = "patch_loss"
        del c.evals.validation_loss
    return c
