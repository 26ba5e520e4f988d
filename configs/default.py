"""Every key of every config, with what it means. Other configs start from this one and override.

Nothing else in the project holds a default: a key that isn't here is an error. Sizes are those of the paper's base
model (Table 1) and its pre-training (sections 3.2 to 3.4).
"""

from ml_collections import ConfigDict, config_dict


def get_config() -> ConfigDict:
    c = ConfigDict()
    c.name = "toto"  # what reports call the run
    c.seed = 0  # of parameters, data order, dropout-like noise and sampling
    # What is learned: "next_token" (a Toto); "patch_to_patch" or "patch_to_code" (the same from patches of pixels); or
    # "tokenizer" (of config.tokenizer.kind).
    c.task = "next_token"

    # "" starts with random parameters; or a run's workdir, or one of its checkpoints (<workdir>/checkpoints/<step>),
    # starts with that run's parameters, whatever its grid, rotary base or mesh. A run that goes on doesn't look here.
    c.init_from = ""

    c.data = ConfigDict()
    c.data.media = ""  # a folder or a list of videos and images, "synthetic", or "" when shards exist already
    # How they lie (docs/data.md): "files", at any depth; "imagenet", "kinetics", "ego4d", "howto100m", "ucf101", "tfds"
    # as they are published; "listed" in lists of 'path label'; "webdataset" in tars.
    c.data.layout = "files"
    c.data.annotations = ()  # the layout's own list files, relative to media; for "tfds" names of splits
    c.data.labels = "none"  # "layout": classes as the layout has them, for "files" a file's folder; "none"
    c.data.shards = ""  # folder of <source>/<split> shards; "" means <workdir>/shards
    # "patch_to_code": folder of shards of the same clips' codes; "" means <workdir>/paired.
    c.data.paired = ""
    # source -> whole-number weight in every block of sum(weights) rows, or its changes over steps:
    # ((0, 20), (10_000, 40)) is 20 up to step 9,999 and 40 from then on. Changes are set in the whole dict at once:
    # --config.data.mixture="{'a': 1, 'b': ((0, 20), (10000, 40))}".
    c.data.mixture = ConfigDict({"media": 1})
    c.data.window = (
        0  # shards among which clips are shuffled, drawn anew in each epoch; 0 for all of a source
    )
    c.data.wait_seconds = 600.0  # for a shard that toto_jax.data.stage has not copied yet
    # Sources whose clips have another shape than the config's with as many codes (4 frames of 32 x 32 beside 16 of
    # 16 x 16): they are trained on, and left out of evaluations.
    c.data.other_shapes = ()
    c.data.workers = 0  # processes that read shards; threads are faster for token shards, so 0
    c.data.prefetch = 2  # batches kept ready on the devices

    c.clips = ConfigDict()  # how clips are cut from media (paper section 3.4)
    c.clips.size = 128  # pixels: the shortest side becomes this, then a random square crop
    c.clips.frames = 16  # of a clip; images are put together by as many
    c.clips.stride = 4  # every 4th frame
    c.clips.per_video = 1  # clips cut from one video, or
    c.clips.every_seconds = (
        0.0  # one from each stretch of so many seconds, however long a video is; 0 for per_video
    )
    c.clips.validation_percent = 2.0  # of inputs without an official split, chosen by a hash of their names
    c.clips.files_per_shard = 256  # inputs that become one shard: the unit of restart
    c.clips.encode_batch = 8  # clips tokenized at once
    c.clips.max_pixels = 64_000_000  # of one frame; larger is rejected before it is decoded
    c.clips.max_frames = (
        2_000_000  # of a video, 18 hours at 30 a second; a longer one is rejected from there on
    )
    c.clips.synthetic_clips = 1024  # rendered when media is "synthetic"

    c.decoding = ConfigDict()  # child processes that cut clips; what exceeds a limit costs that input
    c.decoding.processes = 0  # 0: one a core
    c.decoding.memory_gb = 8.0  # of addresses, each
    c.decoding.seconds = 300.0  # that may pass without a clip
    c.decoding.buffer_gb = 2.0  # of clips that wait for the encoder, all together

    c.tokenizer = ConfigDict()
    c.tokenizer.kind = "dvae"  # "dvae"; "vqgan"; or "pixels" for shards of raw frames
    c.tokenizer.path = ""  # folder of a saved tokenizer; "" means <workdir>/tokenizer
    # Of the encoder's convolutions when codes are made: "bfloat16" is faster on accelerators, and some codes come out
    # differently (docs/tokenizers.md says how many), so that shards of the two never mix.
    c.tokenizer.encode_dtype = "float32"
    c.tokenizer.codebook_size = 8192
    c.tokenizer.halvings = 3  # a code is 2**halvings pixels wide
    c.tokenizer.width = 256  # channels at the full resolution
    c.tokenizer.blocks = 2  # residual blocks at each resolution
    c.tokenizer.decoder_stem = 128  # "dvae": channels that a code becomes in the decoder
    # "vqgan" only, up to the end of the section.
    c.tokenizer.multipliers = (1, 1, 2, 4)  # channels at each resolution as multiples of width
    c.tokenizer.attention = (3,)  # after how many halvings attention follows each block
    c.tokenizer.latent = 256  # channels of the encoder's last convolution
    c.tokenizer.code_width = 256  # channels that are quantized; for "lfq" and "bsq" the bits of a position
    c.tokenizer.quantizer = (
        "vq"  # "vq", a learned codebook; "fsq"; "lfq"; "bsq" (see tokenizers/quantizers.py)
    )
    c.tokenizer.normalize = False  # "vq": compare directions only
    c.tokenizer.levels = ()  # "fsq": of each channel; they multiply to codebook_size
    c.tokenizer.codes_per_position = 1  # "lfq", "bsq": codes that the bits of a position are split into
    # None, or the whole config of the run that trains the tokenizer when none is saved yet.
    c.tokenizer.training = config_dict.placeholder(ConfigDict)

    c.model = ConfigDict()
    c.model.kind = "llama"  # the paper's; or "gpt2" or "mamba" (Table 6)
    c.model.layers = 12
    c.model.d_model = 768
    c.model.heads = 12  # "llama", "gpt2", down to d_ff
    c.model.kv_heads = 12  # fewer than heads: grouped-query attention
    c.model.head_dim = 64
    c.model.d_ff = 3072
    c.model.rope_base = 10_000.0  # "llama", down to qk_norm
    # Rotary positions by (frame, row, column) of a frame of so many (rows, columns) codes; () for the flat position.
    c.model.rope_grid = ()
    c.model.qk_norm = False  # normalise queries and keys
    c.model.positions = 4_098  # "gpt2": positions that have an embedding; a clip's codes and 2
    c.model.channels = 1536  # "mamba", down to chunk: of the state space, twice d_model as published
    c.model.state = 16  # values of a channel's state
    c.model.step_rank = 48  # of the projection that makes a channel's step, d_model / 16 as published
    c.model.convolution = 4  # positions that the convolution sees
    c.model.chunk = 64  # positions whose states are held at a time
    c.model.norm_eps = 1e-6
    c.model.init_std = 0.02
    c.model.tied_head = False  # share the embedding with the output head
    c.model.vocabulary_multiple = 128  # the vocabulary is padded up to a multiple of this
    c.model.dtype = "bfloat16"  # of the computation; parameters and moments stay float32
    # "auto" takes the fastest that the devices run: "splash" (TPU), "cudnn" (NVIDIA GPU, bfloat16), "chunked" (any
    # device, memory linear in the length); "reference" holds all scores.
    c.model.attention = "auto"
    # What the backward pass computes again, from nothing to all: "none"; "minimal": norms and activations; "dots": and
    # attention; "offload": the same, with the rest in the host's memory; "attention": all but attention; "full".
    c.model.remat = "none"
    c.model.scan_unroll = 1  # layers per scan step; 1 compiles fastest and keeps what remat saves

    c.mup = ConfigDict()  # hyper-parameters of a small base model for all larger ones (docs/scaling.md)
    c.mup.enabled = False  # the keys below count only with it
    c.mup.base = ConfigDict()  # sizes of config.model that the base has; 0 for the model's own
    c.mup.base.layers = 0
    c.mup.base.d_model = 0
    c.mup.base.heads = 0
    c.mup.base.kv_heads = 0
    c.mup.base.head_dim = 0
    c.mup.base.d_ff = 0
    c.mup.base.channels = 0
    c.mup.base.state = 0
    c.mup.base.step_rank = 0
    c.mup.input_multiplier = 1.0  # of embeddings, to be tuned on the base
    c.mup.output_multiplier = 1.0  # of logits, to be tuned on the base
    # Branches count (base.layers / layers) ** alpha: with 1 hyper-parameters serve other depths too (CompleteP).
    c.mup.depth_alpha = 1.0
    c.mup.weight_decay_exponent = (
        1.0  # of the width's ratio in the decay of hidden matrices; 1 keeps rate x decay
    )
    c.mup.scale_epsilon = True  # Adam's epsilon shrinks as gradients do
    c.mup.zero_query = True  # queries begin with zeros
    c.mup.zero_head = True  # the head begins with zeros

    c.next_token = ConfigDict()
    c.next_token.end_token_loss = True  # also learn to predict the end token
    c.next_token.loss_chunks = (
        8  # parts of a sequence whose float32 logits are held at a time; 1 is fastest if all fit
    )

    c.patches = ConfigDict()  # patches of pixels in; normalised pixels ("patch_to_patch") or codes out
    c.patches.side = 16  # of a patch, in pixels; "patch_to_code" wants that of a code, 2**tokenizer.halvings
    c.patches.loss_chunks = 8  # "patch_to_code": as in config.next_token

    c.dvae = ConfigDict()  # DALL-E's recipe (2102.12092, appendix A.2)
    c.dvae.kl_weight = 6.6
    c.dvae.kl_steps = 5_000  # over which the weight rises from 0
    c.dvae.temperature_start = 1.0
    c.dvae.temperature_end = 1 / 16
    c.dvae.temperature_steps = 150_000
    c.dvae.crop = 0  # side of random squares cut out of the frames anew in each step; 0 for whole frames
    c.dvae.crop_from = (0, 0)  # least and most pixels that the frames' sides are randomly resized to before
    c.dvae.flip = True  # random horizontal flips
    c.dvae.min_scale = 0.0  # least scale of the pixels' likelihood, in logits; 0 for none (see tasks/dvae.py)

    c.vqgan = (
        ConfigDict()
    )  # VQGAN's recipe (2012.09841), but for the perceptual loss, whose weights are others'
    c.vqgan.commitment_weight = 1.0  # pulls encoded vectors towards their codes
    c.vqgan.codebook_weight = 0.25  # pulls codes towards the vectors that chose them; of a learned codebook
    c.vqgan.codebook = (
        "learned"  # "learned" by gradients, or "averaged": means of the vectors that chose a code
    )
    c.vqgan.codebook_decay = 0.99  # of those running means
    c.vqgan.restart_below = (
        0.0  # "averaged": a code used less than this share of equal use starts anew; 0 for never
    )
    c.vqgan.entropy_weight = 0.1  # "lfq", "bsq": each position's bits should be certain
    c.vqgan.diversity_weight = 0.1  # "lfq", "bsq": all codes should be used
    c.vqgan.entropy_temperature = 0.01
    c.vqgan.adversarial_weight = (
        0.8  # of the discriminator's opinion, after balancing the gradients; 0 for none
    )
    c.vqgan.adversarial_start = 250_000  # step from which it counts
    c.vqgan.discriminator_start = 250_000  # step from which the discriminator learns
    c.vqgan.discriminator_width = 64
    c.vqgan.discriminator_layers = 3
    c.vqgan.perceptual_weight = 0.0  # of LPIPS (1801.03924), published with 1; 0 for none
    c.vqgan.perceptual_weights = ""  # folder of its weights, as import_weights lpips makes it
    c.vqgan.flip = True  # random horizontal flips

    c.optimizer = ConfigDict()  # AdamW
    c.optimizer.learning_rate = 3e-4
    c.optimizer.end_learning_rate = 0.0
    c.optimizer.warmup_steps = 2_000
    c.optimizer.decay_steps = 0  # from the start to the end rate; 0 for the whole run
    c.optimizer.b1 = 0.9
    c.optimizer.b2 = 0.95
    c.optimizer.eps = 1e-8
    c.optimizer.weight_decay = 0.05  # on matrices, not on gains and biases
    c.optimizer.clip_norm = 1.0  # of the global gradient; 0 turns it off
    c.optimizer.ema = 0.0  # decay of averaged parameters, kept beside the trained ones; 0 turns it off

    c.train = ConfigDict()
    c.train.steps = 1_000_000
    c.train.batch_size = 256  # sequences of all devices together: 1M tokens of 4,096
    c.train.microbatches = 1  # the batch is taken in so many parts, gradients summed
    c.train.log_every = 50
    c.train.max_bad_steps = 10  # non-finite steps in a row that stop the run

    c.mesh = ConfigDict()  # devices along each axis; one may be -1 for "the rest"
    c.mesh.slices = 1  # pod slices or hosts, joined by a slower network: parameters replicated, batch split
    c.mesh.data = 1  # parameters replicated, batch split
    c.mesh.fsdp = -1  # parameters and batch split
    c.mesh.sequence = 1  # positions of a clip split
    c.mesh.tensor = 1  # heads and feed-forward split

    c.checkpoint = ConfigDict()
    c.checkpoint.every = 1_000  # steps
    c.checkpoint.keep = 2  # newest
    c.checkpoint.keep_every = 50_000  # steps whose checkpoints are never deleted; 0 turns it off

    c.profile = ConfigDict()  # steps traced into <workdir>/profile
    c.profile.start = 0  # the first one; 0 for none
    c.profile.steps = 3

    # name -> ConfigDict(type=..., every=steps or 0 for the end only, and the evaluator's own keys)
    c.evals = ConfigDict()
    c.report = True  # write <workdir>/report.html at the end
    return c
