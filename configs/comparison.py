"""Tokenizers side by side, each with the same small budget: the paper's Table 3 in miniature.

| variant | in and out |
|---|---|
| dvae | DALL-E's dVAE, 512 codes |
| vqgan | VQGAN's nearest of 512 learned vectors, with its discriminator |
| directions | 512 directions in 8 channels, running means, dead codes start anew |
| fsq | 512 codes: levels 8, 8, 8 |
| lfq, bsq | 512 codes: the signs of 9 channels |
| patch | patches in, the next patch's pixels out |
| codes | patches in, the dVAE's codes out |

`<variant>` is the transformer's config, `<variant>:tokenizer` the tokenizer's. Frames of 32 pixels become 8 x 8 codes
or patches of 4 x 4 pixels in all of them. The command that runs them all and makes the table:

  python -m benchmarks.comparison --photos=/path/to/photos --videos=/path/to/list --out=results

docs/tokenizers.md has what came of it.
"""

from ml_collections import ConfigDict

from configs import quickstart

_VQGAN = {
    "tokenizer.kind": "vqgan",
    "tokenizer.multipliers": (1, 2, 2),
    "tokenizer.attention": (2,),
    "tokenizer.latent": 64,
    "tokenizer.code_width": 64,
    "vqgan.adversarial_start": 150,
    "vqgan.discriminator_start": 150,
    "vqgan.discriminator_width": 32,
    "vqgan.discriminator_layers": 2,
}
TOKENIZERS = {
    "dvae": {},
    "vqgan": _VQGAN,
    "directions": {
        **_VQGAN,
        "tokenizer.code_width": 8,
        "tokenizer.normalize": True,
        "vqgan.codebook": "averaged",
        "vqgan.restart_below": 0.03,
    },
    "fsq": {
        **_VQGAN,
        "tokenizer.quantizer": "fsq",
        "tokenizer.levels": (8, 8, 8),
        "tokenizer.code_width": 3,
    },
    "lfq": {
        **_VQGAN,
        "tokenizer.quantizer": "lfq",
        "tokenizer.code_width": 9,
        "vqgan.commitment_weight": 0.25,
    },
    "bsq": {
        **_VQGAN,
        "tokenizer.quantizer": "bsq",
        "tokenizer.code_width": 9,
        "vqgan.commitment_weight": 0.25,
    },
}
PATCHES = {"patch": "patch_to_patch", "codes": "patch_to_code"}
STEPS = 300  # of each tokenizer
TOTO_STEPS = 200


def get_config(variant: str = "dvae") -> ConfigDict:
    name, _, part = variant.partition(":")
    if name not in (*TOKENIZERS, *PATCHES) or part not in ("", "tokenizer") or (part and name in PATCHES):
        raise ValueError(
            f"configs/comparison.py knows {', '.join((*TOKENIZERS, *PATCHES))}, and <tokenizer>:tokenizer, "
            f"not {variant!r}"
        )
    return _tokenizer(name) if part else _toto(name)


def _clips(c: ConfigDict) -> None:
    c.clips.per_video = 16
    c.clips.validation_percent = 20.0
    c.clips.files_per_shard = 256
    c.tokenizer.codebook_size = 512


def _tokenizer(name: str) -> ConfigDict:
    c = quickstart.tokenizer_config()
    c.name = f"comparison {name} tokenizer"
    _clips(c)
    c.clips.per_video = 64
    c.train.steps = STEPS
    c.checkpoint.every = STEPS
    c.dvae.temperature_steps = STEPS
    c.evals.reconstruction.clips = 512
    if name != "dvae":
        c.optimizer.learning_rate = 1e-3
        c.optimizer.ema = 0.0
        c.optimizer.b1 = 0.5
        c.optimizer.b2 = 0.9
        c.optimizer.weight_decay = 0.0
    c.update_from_flattened_dict(TOKENIZERS[name])
    return c


def _toto(name: str) -> ConfigDict:
    c = quickstart.get_config()
    c.name = f"comparison {name}"
    _clips(c)
    c.tokenizer.training = None  # a run of its own: photos and videos share it
    c.data.mixture = ConfigDict({"photos": 1, "videos": 1})
    c.train.steps = TOTO_STEPS
    c.checkpoint.every = TOTO_STEPS
    c.evals.validation_loss.every = 0
    c.evals.validation_loss.clips = 256
    c.evals.probes.source = "photos"
    c.evals.probes.train_clips = 2_000
    c.evals.probes.validation_clips = 400
    c.evals.probes.steps = 250
    del c.evals.rollout
    if name in TOKENIZERS:
        c.update_from_flattened_dict(TOKENIZERS[name])
        return c
    c.task = PATCHES[name]
    c.patches.side = 4
    c.patches.loss_chunks = 1
    if name == "patch":
        c.tokenizer.kind = "pixels"
        c.evals.patch_loss = c.evals.validation_loss.copy_and_resolve_references()
        c.evals.patch_loss.type = "patch_loss"
        del c.evals.validation_loss
    return c
