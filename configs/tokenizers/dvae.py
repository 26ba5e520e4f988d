"""DALL-E's discrete VAE at its published size (2102.12092, appendix A.2): 8,192 codes of 8 x 8 pixels.

  python -m toto_jax.main --config=configs/tokenizers/dvae.py --workdir=... --config.data.media=/path/to/images

The tokenizer is saved in <workdir>/tokenizer, or where config.tokenizer.path says. Other runs take it from there by
--config.tokenizer.path=..., and a config with this one as its `tokenizer.training` trains it on the way.

Single frames of 256 pixels, 98M parameters. The publication trained it on 64 V100s of 16 GB with a batch of 8 each, for
3 million updates. Not run by us at this size: no hours and no numbers are claimed. The network is checked against the
published package on random weights, and the loss at small sizes.

Where this differs: computation is float32 at JAX's default precision rather than mixed; pictures are resized by their
shortest side and cropped at random, without the random scale; kernels start as the code says; the learning rate ends
at update 1.2M, and so does the run, since the config's schedule spans the whole run.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    c = default.get_config()
    c.name = "dvae"
    c.task = "tokenizer"

    c.clips.size = 256
    c.clips.frames = 1
    c.clips.per_video = 16

    c.optimizer.learning_rate = 1e-4
    c.optimizer.end_learning_rate = 1.25e-6
    c.optimizer.warmup_steps = 0
    c.optimizer.b2 = 0.999
    c.optimizer.weight_decay = 1e-4
    c.optimizer.clip_norm = 0.0
    c.optimizer.ema = 0.999

    c.train.steps = 1_200_000
    c.train.batch_size = 512

    c.evals.reconstruction = ConfigDict(dict(type="reconstruction", every=5000, clips=16))
    return c
