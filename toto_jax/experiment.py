"""The only assembler: a config becomes mesh, task, optimizer, state, data and evaluators.

Training, evaluation, sampling and every other way in build through here, so they can't drift apart.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import ml_collections
from jax.sharding import Mesh

from toto_jax.errors import ConfigError, DataError, nearest
from toto_jax.evaluation.context import EvaluationContext, Split
from toto_jax.evaluation.record import write_results
from toto_jax.evaluation.registry import build_evaluator, check_evaluator, run_evaluator
from toto_jax.models.counts import flops_per_token
from toto_jax.models.decoder import build_decoder
from toto_jax.settings import Settings, parse
from toto_jax.sharding.agreement import fetch, on_first_process
from toto_jax.sharding.mesh import make_mesh
from toto_jax.sharding.rules import RULES, check_divides
from toto_jax.tasks.dvae import DVAETask
from toto_jax.tasks.next_token import NextToken
from toto_jax.tasks.patches import PatchToCode, PatchToPatch
from toto_jax.tasks.sequence import SequenceTask
from toto_jax.tasks.tokenizer import TokenizerTask
from toto_jax.tasks.vqgan import VQGANTask
from toto_jax.tokenizers.base import Tokenizer, TokenizerSpec
from toto_jax.tokenizers.dvae import DVAE
from toto_jax.tokenizers.frame_tokenizer import FrameTokenizer
from toto_jax.tokenizers.loading import SPEC_NAME, load_tokenizer, read_spec
from toto_jax.training.checkpoint import abstract_like, choose_step, restore_params
from toto_jax.training.loop import Trainer
from toto_jax.training.task import Batch, Frozen, Task
from toto_jax.training.throughput import Work
from toto_jax.tree import Params
from toto_jax.video import vocabulary_size


def build_task(settings: Settings, platform: str) -> Task:
    """Returns the task that the config names, for devices of a platform ("cpu", "gpu", "tpu")."""
    if settings.task == "tokenizer":
        return _build_tokenizer_task(settings)
    section = dict(settings.model)
    kind = section.pop("kind")
    vocabulary = vocabulary_size(settings.tokenizer.codebook_size, section["vocabulary_multiple"])
    if settings.task == "next_token":
        decoder = build_decoder(kind, section, vocabulary, platform, settings.mup)
        return NextToken(decoder, settings.geometry, settings.next_token)
    if section["tied_head"]:
        raise ConfigError(
            "config.model.tied_head=True: patches have no embedding of codes to share; give False"
        )
    decoder = build_decoder(kind, section, 0, platform, settings.mup)
    if settings.task == "patch_to_patch":
        return PatchToPatch(decoder, settings.geometry, settings.patches)
    return PatchToCode(decoder, settings.geometry, settings.patches, vocabulary)


def _build_tokenizer_task(settings: Settings) -> TokenizerTask:
    """Returns the task that learns a tokenizer of the config's kind."""
    network, frames, size = settings.tokenizer.network, settings.clips.frames, settings.clips.size
    if isinstance(network, DVAE):
        return DVAETask(network, settings.dvae, frames, size)
    if settings.vqgan.codebook == "averaged" and settings.train.microbatches > 1:
        raise ConfigError(
            f"config.vqgan.codebook='averaged' keeps means of one whole batch, and config.train.microbatches="
            f"{settings.train.microbatches} takes it in parts; 1 would do, or codebook='learned'"
        )
    return VQGANTask(network, settings.vqgan, frames, size)


def work_of(task: Task, settings: Settings) -> Work:
    """Returns what one example is worth: tokens or patches and their model FLOPs, or frames."""
    if settings.task == "tokenizer":
        return Work("frames", settings.clips.frames)
    sequence: SequenceTask = task
    context = sequence.context
    flops, flops_full = (
        context * flops_per_token(sequence.decoder.config, sequence.outputs, context, causal, sequence.inputs)
        for causal in (True, False)
    )
    return Work(sequence.units, context, flops, flops_full)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One run, put together. Parts that read files are made when first asked for."""

    settings: Settings
    workdir: pathlib.Path
    mesh: Mesh
    task: Task
    trainer: Trainer

    @property
    def shards(self) -> pathlib.Path:
        """Folder of `<source>/<split>` shards; of pixels where there are both."""
        return list(self.settings.shard_folders(self.workdir).values())[-1]

    @property
    def paired(self) -> pathlib.Path | None:
        """Folder of the same clips' codes, if the task reads pixels and codes."""
        folders = self.settings.shard_folders(self.workdir)
        return folders["codes"] if len(folders) > 1 else None

    @property
    def tokenizer_path(self) -> pathlib.Path:
        """Folder of the tokenizer that the shards were written with."""
        return pathlib.Path(self.settings.tokenizer.path or self.workdir / "tokenizer")

    @property
    def checkpoint_folder(self) -> pathlib.Path:
        return self.workdir / "checkpoints"

    def batches_from(self, step: int) -> Iterator[Batch]:
        """Returns global batches on the devices, from step `step` to the run's last."""
        from toto_jax.data.pipeline import to_devices

        batches = self.pipeline.batches_from(step, self.settings.train.steps)
        return to_devices(batches, self.trainer.batch_shardings, self.settings.data.prefetch)

    def epochs(self, step: int) -> dict[str, float]:
        """Returns `epochs/<source>`: how often the steps before `step` have gone through each source."""
        return {f"epochs/{name}": passes for name, passes in self.pipeline.epochs(step).items()}

    @functools.cached_property
    def pipeline(self) -> Any:
        """This process's slice of the training data, checked against the config."""
        # Grain and ArrayRecord come with the extra `train`; loading a checkpoint does without.
        from toto_jax.data.pipeline import Pipeline, check_geometry, check_pixels

        settings = self.settings
        pipeline = Pipeline(
            self.shards,
            settings.data.mixture,
            settings.train.batch_size,
            settings.seed,
            jax.process_index(),
            jax.process_count(),
            settings.data.workers,
            settings.data.window,
            settings.data.wait_seconds,
            settings.data.other_shapes,
            self.paired,
        )
        if settings.task != "next_token":
            check_pixels(pipeline.manifests, settings.clips.frames, settings.clips.size)
        codes = pipeline.manifests if settings.task == "next_token" else pipeline.paired
        ordinary = {name: found for name, found in codes.items() if name not in settings.data.other_shapes}
        check_geometry(ordinary, settings.geometry, settings.tokenizer.codebook_size)
        if codes and (self.tokenizer_path / SPEC_NAME).exists():
            spec = read_spec(self.tokenizer_path).encoded_in(settings.tokenizer.encode_dtype)
            self._check_tokenizer(spec, codes)
        return pipeline

    @functools.cached_property
    def evaluators(self) -> Mapping[str, Any]:
        """Evaluators of config.evals by name, each built once so that each compiles once."""
        settings = self.settings
        context = EvaluationContext(
            task=self.task,
            mesh=self.mesh,
            seed=settings.seed,
            geometry=settings.geometry,
            codebook_size=settings.tokenizer.codebook_size,
            splits={
                name: {
                    split: Split(
                        self.shards / name / split, Split(self.paired / name / split) if self.paired else None
                    )
                    for split in ("train", "validation")
                }
                for name in settings.evaluated_sources
            },
            load_tokenizer=self.load_tokenizer,
            tokenizer_of=lambda params: FrameTokenizer(
                self.task.network, fetch(self.task.tokenizer_params(params))
            ),
        )
        return {
            name: build_evaluator(name, entry, settings.task, context)
            for name, entry in settings.evals.items()
        }

    def load_tokenizer(self) -> Tokenizer:
        """Returns the run's tokenizer; it must be the one that wrote the shards.

        Raises:
          DataError: if it isn't.
        """
        tokenizer = load_tokenizer(self.tokenizer_path, self.settings.tokenizer.encode_dtype)
        self._check_tokenizer(tokenizer.spec, self.pipeline.manifests)
        return tokenizer

    def _check_tokenizer(self, spec: TokenizerSpec, manifests: Mapping[str, Any]) -> None:
        for name, manifest in manifests.items():
            wrote = manifest.tokenizer
            if wrote.content_hash != spec.content_hash:
                raise DataError(
                    f"The tokenizer in {self.tokenizer_path} ({spec.content_hash[:12]}, in {spec.encode_dtype}) is not "
                    f"the one that wrote the shards of {name!r} ({wrote.content_hash[:12]}, in {wrote.encode_dtype}); "
                    "point config.tokenizer.path to that one, and set config.tokenizer.encode_dtype to its dtype"
                )

    def evaluate(self, name: str, step: int, params: Params) -> dict[str, float]:
        """Runs one evaluator, keeps its results in the workdir, and returns its numbers."""
        with jax.set_mesh(self.mesh):
            results = list(run_evaluator(name, self.evaluators[name], params, step))
        return on_first_process(lambda: write_results(self.workdir, name, step, results))

    def restore_params(self, step: int | None = None) -> tuple[Params, int]:
        """Returns (the best parameters, step) of the checkpoint of `step`, or of the newest.

        Raises:
          CheckpointError: if there is none, or it doesn't fit.
        """
        step = choose_step(self.checkpoint_folder, step)
        abstract = abstract_like(self.trainer.abstract_state.params, self.trainer.state_shardings.params)
        averaged = self.settings.optimizer.ema > 0
        return restore_params(self.checkpoint_folder / str(step), abstract, averaged), step


def _check_model(settings: Settings, task: SequenceTask, mesh: Mesh) -> None:
    """Raises ConfigError if the decoder doesn't fit the mesh or the clips."""
    model = task.decoder.config
    for key in model.shared_out:
        check_divides(mesh, f"config.model.{key}", getattr(model, key), RULES["attention_heads"])
    grid = (settings.geometry.height, settings.geometry.width)
    if getattr(model, "rope_grid", ()) not in ((), grid):
        raise ConfigError(f"config.model.rope_grid={model.rope_grid}, and a frame of these clips has {grid}")
    if getattr(model, "positions", task.context) < task.context:
        raise ConfigError(
            f"config.model.positions={model.positions}, and a clip has {task.context}; give at least as many"
        )


def build(
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    devices: Sequence[jax.Device] | None = None,
) -> Experiment:
    """Puts a run together, abstractly: nothing is allocated and no file is read.

    Args:
      config: with the keys of configs/default.py.
      workdir: where the run's files are.
      devices: which devices to use; all by default.

    Raises:
      ConfigError: on anything in the config that can't be, on this number of devices.
    """
    settings = parse(config)
    for name, entry in settings.evals.items():
        check_evaluator(name, entry, settings.task)
        source = entry.get("source")
        if source and source not in settings.evaluated_sources:
            raise ConfigError(
                f"config.evals.{name}.source={source!r}; {nearest(source, settings.evaluated_sources)}"
            )
    mesh = make_mesh(settings.mesh, devices)
    # Of the mesh and not of this process: a program for TPUs is compiled on machines without one.
    task = build_task(settings, mesh.devices.flat[0].platform)
    if settings.task != "tokenizer":
        _check_model(settings, task, mesh)
    frozen = task.frozen if isinstance(task, VQGANTask) else Frozen()
    scales = None if settings.task == "tokenizer" else task.scales
    work = work_of(task, settings)
    trainer = Trainer(task, settings.optimizer, settings.train, mesh, settings.seed, work, frozen, scales)
    return Experiment(settings, workdir, mesh, task, trainer)
