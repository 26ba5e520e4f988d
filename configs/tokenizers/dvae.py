"""DALL-E's discrete VAE at its published size (2102.12092, appendix A.2): 8,192 codes of 8 x 8 pixels.

  python -m toto_jax.main --config=configs/tokenizers/dvae.py --workdir=... --config.data.media=/path/to/images

The tokenizer is saved in <workdir>/tokenizer, or where config.tokenizer.path says. Other runs take it from there by
--config.tokenizer.path=..., and a config with this one as its `tokenizer.training` trains it on the way.

Squares of 256 pixels out of single frames of 384, 98M parameters. The publication trained it on 64 V100s of 16 GB with
a batch of 8 each, for 3 million updates. Not run by us at this size: no hours and no numbers are claimed. The network
is checked against the published package on random weights, the loss and the schedules against closed forms.

As published: the bound with relaxed codes, divided by 256 * 256 * 3; the weight of the divergence from 0 to 6.6 over
5,000 updates, the temperature from 1 to 1/16 over 150,000 and the learning rate from 1e-4 to 1.25e-6 over 1.2 million,
along half a cosine each; AdamW; averaged parameters; batches of 512; squares of 256 pixels at random places of pictures
resized to 9/8 to 12/8 of that by the mean of areas, half of them mirrored.

Where this differs, and why:
- "Cosine" is not spelled out in the publication; half a cosine is flat at both ends.
- Shards hold each picture once, as one random square of its shortest side resized to 384 pixels; the publication cut
  that square anew each time. What is cut anew in each step is the square of 256. Pictures whose shortest side is below
  384 pixels are enlarged to that, where the publication left them as small as they were.
- Computation is float32 at JAX's default precision; the publication's was partly float16, with a scaled loss.
- Weight decay is on kernels only; the publication doesn't say whether biases had it.
- Kernels start sqrt(2) times larger than in the published code, which keeps the variance through ReLUs; short runs
  learn more.
- The reconstruction is measured on whole frames of 384 pixels.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    c = default.get_config()
    c.name = "dvae"
    c.task = "tokenizer"

    c.clips.size = 384
    c.clips.frames = 1
    c.clips.per_video = 16

    c.dvae.crop = 256
    c.dvae.crop_from = (288, 384)

    c.optimizer.learning_rate = 1e-4
    c.optimizer.end_learning_rate = 1.25e-6
    c.optimizer.warmup_steps = 0
    c.optimizer.decay_steps = 1_200_000
    c.optimizer.b2 = 0.999
    c.optimizer.weight_decay = 1e-4
    c.optimizer.clip_norm = 0.0
    c.optimizer.ema = 0.999

    c.train.steps = 3_000_000
    c.train.batch_size = 512

    c.evals.reconstruction = ConfigDict(dict(type="reconstruction", every=5000, clips=16))
    return c
