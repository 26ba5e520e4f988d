"""A trained Toto in a notebook: features, logits, continuations.

  toto = toto_jax.from_pretrained("runs/quickstart")
  toto.features(video, layer=2)       # (B, F, h, w, D)
  toto.continue_video(video, frames=4)

A model of patches gives features alone. Only parameters are read, onto one device, whatever mesh saved them; the
extra `train` is not needed.

Shapes: B videos, F frames, H x W pixels, h x w codes or patches, T tokens, V vocabulary, D model width.
"""

import dataclasses
import functools
import json
import pathlib
import shutil

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from toto_jax.config import from_json, to_json
from toto_jax.errors import CheckpointError, ConfigError, StorageError
from toto_jax.experiment import build
from toto_jax.generation.rollout import continue_frames
from toto_jax.generation.sampling import SamplerConfig
from toto_jax.models.decoder import Decoder
from toto_jax.models.parametrisation import table
from toto_jax.tasks.patches import NO_CONTINUATION, PATCH_TASKS
from toto_jax.tasks.sequence import SequenceTask
from toto_jax.tokenizers.base import Tokenizer
from toto_jax.tokenizers.loading import SPEC_NAME, load_tokenizer
from toto_jax.tokenizers.pixels import PixelsTokenizer
from toto_jax.tokenizers.weights_file import WEIGHTS_NAME
from toto_jax.training.checkpoint import (
    Checkpoints,
    abstract_like,
    find_checkpoint,
    read_metadata,
    restore_params,
)
from toto_jax.training.task import Batch
from toto_jax.tree import Params, named_leaves
from toto_jax.video import START_TOKENS, VIDEO_START, ClipGeometry, to_batch, to_sequences


@dataclasses.dataclass(frozen=True)
class Toto:
    """A pre-trained model with its tokenizer.

    Attributes:
      config: the whole config of its run.
      step: of the checkpoint.
      task: what it has learned, as pure functions of `params`.
      params: its parameters.
      tokenizer: frames to codes and back; frames to themselves for a model of patches.
    """

    config: ml_collections.ConfigDict
    step: int
    task: SequenceTask
    params: Params
    tokenizer: Tokenizer

    @property
    def decoder(self) -> Decoder:
        """The transformer as pure functions of `params`, or of those of them that are its own."""
        return self.task.decoder

    @property
    def geometry(self) -> ClipGeometry:
        """Frames of a clip, and codes or patches of a frame."""
        return self.task.geometry

    def features(self, video_BFHWC: np.ndarray, layer: int, kind: str = "video") -> jax.Array:
        """Returns features_BFhwD: the hidden state behind each code or patch.

        Args:
          video_BFHWC: uint8 RGB, up to a clip's frames, of the size that the model was trained on.
          layer: 0 for the embedding, i for the output of block i; the middle of the model is usually best (Figure 8).
          kind: "video", or "image" for frames that have nothing to do with each other.
        """
        clips = self._encode(video_BFHWC)
        if not 0 <= layer <= self.decoder.config.layers:
            raise ConfigError(
                f"layer={layer}: this model has 0 (the embedding) to {self.decoder.config.layers}"
            )
        if kind not in START_TOKENS:
            raise ConfigError(f"kind={kind!r}: give 'video' or 'image'")
        batch = to_batch(clips, np.full(len(clips), START_TOKENS[kind], np.int32))
        hidden_BND = _features(self.task, self.params, batch, layer)
        return hidden_BND.reshape(*clips.shape[:2], self.geometry.height, self.geometry.width, -1)

    def logits(self, ids_BT: np.ndarray) -> jax.Array:
        """Returns logits_BTV; position t predicts token t + 1. `video.to_sequences` makes ids of codes."""
        self._check_tokens_on_both_sides()
        return _logits(self.decoder, self.params, jnp.asarray(ids_BT))

    def continue_video(
        self,
        video_BFHWC: np.ndarray,
        frames: int,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> np.ndarray:
        """Returns the `frames` frames that the model dreams up behind a video, uint8 (B, frames, H, W, 3).

        Args:
          video_BFHWC: uint8 RGB; the latest frames that fit into the context are looked at.
          frames: how many more.
          temperature: 0 takes the likeliest code each time.
          top_k: draw from the k likeliest codes; 0 for all.
          top_p: draw from the likeliest codes that make up this probability; 1.0 for all.
          seed: of the draws.

        Raises:
          ConfigError: if the model is one of patches.
        """
        self._check_tokens_on_both_sides()
        codes_BFhw = self._encode(video_BFHWC[:, -self.geometry.frames :])
        sampler = SamplerConfig(temperature, top_k, top_p)
        new_BFhw = continue_frames(
            self.decoder,
            self.params,
            codes_BFhw,
            frames,
            self.geometry,
            sampler,
            jax.random.key(seed),
            vocabularies=self.tokenizer.spec.vocabularies,
        )
        return self.tokenizer.decode(new_BFhw)

    def tokens(self, video_BFHWC: np.ndarray) -> np.ndarray:
        """Returns ids_BT of whole sequences of uint8 RGB videos, start and end tokens included."""
        self._check_tokens_on_both_sides()
        codes_BFhw = self._encode(video_BFHWC)
        return to_sequences(
            codes_BFhw.reshape(len(codes_BFhw), -1), np.full(len(codes_BFhw), VIDEO_START, np.int32)
        )

    def _check_tokens_on_both_sides(self) -> None:
        if self.config.task in PATCH_TASKS:
            raise ConfigError(f"config.task={self.config.task!r}: {NO_CONTINUATION}; `features` works")

    def _encode(self, video_BFHWC: np.ndarray) -> np.ndarray:
        size = self.config.clips.size
        if video_BFHWC.ndim != 5 or video_BFHWC.dtype != np.uint8 or video_BFHWC.shape[2:] != (size, size, 3):
            raise ConfigError(
                f"Give uint8 videos of shape (B, F, {size}, {size}, 3), got {video_BFHWC.dtype} {video_BFHWC.shape}; "
                "toto_jax.data.clips resizes and crops"
            )
        if video_BFHWC.shape[1] > self.geometry.frames:
            raise ConfigError(f"A clip has at most {self.geometry.frames} frames, got {video_BFHWC.shape[1]}")
        return self.tokenizer.encode(video_BFHWC)


@functools.partial(jax.jit, static_argnums=(0, 3))
def _features(task: SequenceTask, params: Params, batch: Batch, layer: int) -> jax.Array:
    return task.features(params, batch, (layer,))[0]


@functools.partial(jax.jit, static_argnums=0)
def _logits(decoder: Decoder, params: Params, ids_BT: jax.Array) -> jax.Array:
    return decoder.apply(params, ids_BT).logits_BTV


def from_pretrained(
    path: str | pathlib.Path,
    dtype: str | None = None,
    step: int | None = None,
    tokenizer: str | pathlib.Path | None = None,
) -> Toto:
    """Loads a model from a run.

    Args:
      path: a workdir, or one of its checkpoints (`<workdir>/checkpoints/<step>`).
      dtype: of parameters and computation, e.g. "bfloat16"; by default float32 parameters and the config's computation.
      step: which checkpoint of a workdir; the newest by default.
      tokenizer: folder of the tokenizer, if it isn't where the run had it.

    Raises:
      CheckpointError: if there is no checkpoint, no tokenizer, or what is there doesn't fit together.
    """
    checkpoint = find_checkpoint(pathlib.Path(path), step)
    workdir = checkpoint.parent.parent

    config = from_json(json.dumps(read_metadata(checkpoint)["config"]))
    if config.task == "tokenizer":
        raise CheckpointError(
            f"{checkpoint} is of the task {config.task!r}, not a Toto; load_tokenizer reads tokenizers"
        )
    experiment = build(_for_one_device(config, dtype), workdir, jax.local_devices()[:1])
    abstract = abstract_like(
        experiment.trainer.abstract_state.params, experiment.trainer.state_shardings.params
    )
    if dtype is not None:
        abstract = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, jnp.dtype(dtype), sharding=leaf.sharding), abstract
        )
    params = restore_params(checkpoint, abstract, averaged=experiment.settings.optimizer.ema > 0)
    return Toto(
        config=config,
        step=int(checkpoint.name),
        task=experiment.task,
        params=params,
        tokenizer=(
            PixelsTokenizer()
            if config.task in PATCH_TASKS
            else load_tokenizer(
                tokenizer or experiment.tokenizer_path, experiment.settings.tokenizer.encode_dtype
            )
        ),
    )


def save_pretrained(
    path: str | pathlib.Path,
    config: ml_collections.ConfigDict,
    params: Params,
    tokenizer: str | pathlib.Path,
    step: int = 0,
) -> None:
    """Writes a run as training would have left it: config, tokenizer, and a checkpoint whose optimizer starts anew.

    `from_pretrained` loads it, and `toto_jax.main` with this config and this workdir trains on.

    Args:
      path: workdir to write; must not hold anything yet.
      config: whole config of a Toto.
      params: of its model.
      tokenizer: folder of its tokenizer, which is copied into the workdir.
      step: of the checkpoint.

    Raises:
      ConfigError: if the folder holds something, or the config can't be, or is of patches.
      CheckpointError: if the tokenizer can't be loaded, or the parameters are not those of the config's model.
      StorageError: if something can't be written.
    """
    path, tokenizer = pathlib.Path(path), pathlib.Path(tokenizer)
    if path.exists() and any(path.iterdir()):
        raise ConfigError(f"{path} is not empty; give a new folder")
    if config.task != "next_token":
        raise ConfigError(f"A saved run is a Toto over codes, and not of the task {config.task!r}")
    spec = load_tokenizer(tokenizer).spec.encoded_in(config.tokenizer.encode_dtype)
    config = from_json(to_json(config))
    with config.unlocked():
        config.tokenizer.path = ""  # the copy below, which moves along
    experiment = build(_for_one_device(config, None), path, jax.local_devices()[:1])
    wanted, found = (
        {name: leaf.shape for name, leaf in named_leaves(tree).items()}
        for tree in (experiment.trainer.abstract_state.params, params)
    )
    if wanted != found:
        wrong = sorted(name for name in wanted | found if wanted.get(name) != found.get(name))
        raise CheckpointError(
            f"These are not the parameters of the config's model: {', '.join(wrong[:5])} differ"
        )
    state = experiment.trainer.init()
    like = experiment.trainer.abstract_state.params
    placed = jax.tree.map(lambda value, leaf: jnp.asarray(value, leaf.dtype), params, like)
    state = dataclasses.replace(
        state, step=jnp.int32(step), params=placed, ema=None if state.ema is None else placed
    )
    try:
        (path / "tokenizer").mkdir(parents=True)
        for name in (WEIGHTS_NAME, SPEC_NAME):
            shutil.copyfile(tokenizer / name, path / "tokenizer" / name)
        (path / "config.json").write_text(to_json(config))
    except OSError as error:
        raise StorageError(f"The run can't be written in {path}: {error}") from error
    metadata = {
        "config": json.loads(to_json(config)),
        "tokenizer": spec.to_json(),
        "scales": table(experiment.trainer.scales),
    }
    checkpoints = Checkpoints(experiment.checkpoint_folder, experiment.settings.checkpoint, metadata)
    try:
        checkpoints.save(step, state)
    finally:
        checkpoints.close()


def _for_one_device(config: ml_collections.ConfigDict, dtype: str | None) -> ml_collections.ConfigDict:
    """Returns a copy for one device, which may be of another kind than the run's."""
    config = from_json(to_json(config))
    with config.unlocked():
        config.mesh.update(dict.fromkeys(config.mesh, 1))
        config.train.update(microbatches=1)
        config.model.attention = "auto"
        if dtype is not None:
            config.model.dtype = dtype
    return config
