"""The paper in miniature, on two CPU cores, in minutes: no data, no accelerator.

  python -m toto_jax.main --config=configs/quickstart.py --workdir=runs/quickstart

Renders clips of moving shapes, trains a small dVAE on them, writes token shards, pre-trains a small Toto,
probes it for the kind of motion, continues held-out clips, and writes <workdir>/report.html. On your own
videos, without labels:

  python -m toto_jax.main --config=configs/quickstart.py --workdir=runs/mine --config.data.media=/path/to/videos

`:tokenizer` is the run that trains its tokenizer, which the first command does by itself. Alone, for others to share:

  python -m toto_jax.main --config=configs/quickstart.py:tokenizer --workdir=runs/tokenizer
"""

from ml_collections import ConfigDict

from configs import default


def small_clips(c: ConfigDict) -> None:
    """8 frames of 32 x 32 pixels: 8 x 8 codes each, 512 codes a clip."""
    c.clips.size = 32
    c.clips.frames = 8
    c.clips.per_video = 16
    c.clips.validation_percent = 10.0
    c.clips.files_per_shard = 512
    c.clips.encode_batch = 32
    c.clips.synthetic_clips = 3_000
    c.tokenizer.codebook_size = 256
    c.tokenizer.width = 32
    c.tokenizer.decoder_stem = 64
    c.tokenizer.halvings = 2
    c.tokenizer.blocks = 1


def tokenizer_config() -> ConfigDict:
    """The run that trains the tokenizer, on single frames."""
    c = default.get_config()
    c.name = "quickstart tokenizer"
    c.task = "tokenizer"
    c.data.media = "synthetic"
    small_clips(c)
    c.clips.frames = 1
    c.dvae.kl_weight = 0.0
    c.dvae.kl_steps = 0
    c.dvae.temperature_steps = 1_150
    c.dvae.min_scale = 1.0
    c.optimizer.learning_rate = 6e-3
    c.optimizer.warmup_steps = 50
    c.optimizer.b2 = 0.99
    c.optimizer.weight_decay = 1e-4
    c.optimizer.ema = 0.98
    c.train.steps = 1_200
    c.train.batch_size = 16
    c.train.log_every = 200
    c.checkpoint.every = 600
    c.evals.reconstruction = ConfigDict(dict(type="reconstruction", every=0, clips=64))
    c.report = False
    return c


def get_config(variant: str = "") -> ConfigDict:
    if variant not in ("", "tokenizer"):
        raise ValueError(f"configs/quickstart.py knows '' and 'tokenizer', not {variant!r}")
    if variant:
        return tokenizer_config()
    c = default.get_config()
    c.name = "quickstart"
    c.data.media = "synthetic"
    small_clips(c)
    c.tokenizer.training = tokenizer_config()

    c.model.layers = 4
    c.model.d_model = 128
    c.model.heads = c.model.kv_heads = 4
    c.model.head_dim = 32
    c.model.d_ff = 384
    c.model.dtype = "float32"
    c.model.remat = "none"
    c.model.scan_unroll = c.model.layers
    c.next_token.loss_chunks = 1

    c.optimizer.learning_rate = 3e-3
    c.optimizer.warmup_steps = 40
    c.train.steps = 500
    c.train.log_every = 100
    c.train.batch_size = 8
    c.checkpoint.every = 250

    c.evals.validation_loss = ConfigDict(
        dict(type="validation_loss", every=250, clips=128, baseline_clips=2_048, batch_size=32)
    )
    c.evals.probes = ConfigDict(
        dict(
            type="probes", every=0, source="", train_clips=640, validation_clips=300, batch_size=32,
            steps=280, learning_rate=2e-3, weight_decay=0.05, heads=8,
        )
    )  # fmt: skip
    c.evals.rollout = ConfigDict(
        dict(
            type="rollout", every=0, clips=6, prompt_frames=4, frames=12, temperature=0.9, top_k=0, top_p=0.95,
            frames_per_second=4.0,
        )
    )  # fmt: skip
    return c
