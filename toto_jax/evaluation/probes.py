"""Probes on frozen features: which layer knows the most (the paper's Figures 4 and 8, Table 5), against a control.

The same probes on the same decoder with random weights show how much of the accuracy comes from the
architecture and the codes alone.

Shapes: M clips, B clips at once, L hidden states (of all layers of all models), N codes or patches, D features.
"""

import dataclasses
import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from toto_jax.errors import ConfigError
from toto_jax.evaluation.context import EvaluationContext, Split
from toto_jax.evaluation.held_out import batches_of, spread
from toto_jax.evaluation.results import Curve, Result, Table
from toto_jax.sharding.agreement import fetch
from toto_jax.tasks.probe import KINDS, ProbeTask
from toto_jax.tasks.sequence import SequenceTask
from toto_jax.training.loop import Trainer
from toto_jax.training.monitor import TrainConfig
from toto_jax.training.optimizer import OptimizerConfig
from toto_jax.training.task import Batch
from toto_jax.tree import Params

# Host memory that cached features may take; above it, each step computes its own.
_CACHE_BYTES = 2**31


@dataclasses.dataclass(frozen=True)
class ProbesConfig:
    """Attributes:
    source: which source's labelled videos; "" for the first.
    train_clips, validation_clips: how many at most.
    batch_size: clips of a step.
    steps: of training the probes.
    learning_rate, weight_decay: of AdamW, cosine to zero (AIM's recipe: 5e-5 to 2e-3, 0.05 or 0.1).
    heads: of the attention probe (the authors' module has 8).
    """

    source: str
    train_clips: int
    validation_clips: int
    batch_size: int
    steps: int
    learning_rate: float
    weight_decay: float
    heads: int


class Probes:
    """Trains attention and average probes of all layers at once, by the one trainer."""

    def __init__(self, config: ProbesConfig, context: EvaluationContext):
        self._config = config
        self._context = context
        self._task: SequenceTask = context.task

    def run(self, params: Params) -> Iterator[tuple[str, Result]]:
        """Yields accuracies in percent: the best layer's and its control's, and all layers' as a curve.

        Nothing is yielded where the media have no labels.
        """
        splits = self._context.only_source(self._config.source)
        classes = splits["train"].manifest.class_names
        if len(classes) < 2:
            return
        medium = "video" if any(record.kind == "video" for record in splits["train"].index) else "image"
        data = {
            name: _labelled(splits[name], limit, medium)
            for name, limit in (
                ("train", self._config.train_clips),
                ("validation", self._config.validation_clips),
            )
        }
        random = jax.jit(self._task.init)(jax.random.key(self._context.seed + 1))
        accuracies = self._accuracies((params, random), data, len(classes))
        # The control's hidden states stand behind the model's, as more layers: one training serves both.
        half = self._task.decoder.config.layers + 1
        found = {
            "pre-trained": {kind: accuracy[:half] for kind, accuracy in accuracies.items()},
            "random weights": {kind: accuracy[half:] for kind, accuracy in accuracies.items()},
        }
        chance = 100 / len(classes)
        for kind in KINDS:
            trained, control = found["pre-trained"][kind], found["random weights"][kind]
            best = int(trained.argmax())
            yield f"{kind}_accuracy", float(trained[best])
            yield f"{kind}_best_layer", float(best)
            yield f"{kind}_accuracy_random_weights", float(control.max())
        yield "chance", chance
        layers = np.arange(half)
        series = {
            f"{kind}, {weights}": accuracy[kind] for weights, accuracy in found.items() for kind in KINDS
        }
        yield (
            "accuracy_by_layer",
            Curve(
                layers,
                {**series, "chance": np.full(len(layers), chance)},
                "layer (0 is the embedding)",
                f"accuracy on held-out {medium}s, %",
                f"Which of {len(classes)} classes a held-out {medium} is of, read off each frozen layer by a probe.",
            ),
        )
        rows = tuple(
            (f"{kind} pooling", *(float(found[weights][kind].max()) for weights in found), chance)
            for kind in KINDS
        )
        yield (
            "best_layers",
            Table(
                ("probe", "pre-trained, %", "random weights, %", "chance, %"),
                rows,
                "Best layer of each probe (compare the paper's Table 5: average 53.2, attention 61.1 on ImageNet).",
            ),
        )

    def _accuracies(
        self, models: tuple[Params, ...], data: dict[str, tuple["_Clips", np.ndarray]], classes: int
    ) -> dict[str, np.ndarray]:
        """Returns {kind: accuracy in percent of each layer of each model}, trained on `train`, measured on
        `validation`."""
        config = self._config
        clips, labels_M = data["train"]
        if config.batch_size > len(labels_M):
            raise ConfigError(
                f"A probe's batch_size={config.batch_size} is more than its {len(labels_M)} training clips"
            )
        train = _Features(self._task, models, clips, config.batch_size, self._context.mesh)
        mean_LD, std_LD = train.statistics()
        task = ProbeTask(train.positions, classes, config.heads, mean_LD, std_LD, train.dtype)
        trainer = Trainer(
            task,
            OptimizerConfig(
                learning_rate=config.learning_rate,
                end_learning_rate=0.0,
                warmup_steps=config.steps // 20,
                decay_steps=0,
                b1=0.9,
                b2=0.999,
                eps=1e-8,
                weight_decay=config.weight_decay,
                clip_norm=0.0,  # a global norm would tie the layers' probes together
                ema=0.0,
            ),
            TrainConfig(config.steps, config.batch_size, 1, config.steps, 1),
            self._context.mesh,
            self._context.seed,
        )

        def batches_from(step: int) -> Iterator[dict[str, jax.Array]]:
            while True:
                rows = _shuffled_rows(step, config.batch_size, len(labels_M), self._context.seed)
                batch = {"hidden": train.rows(rows), "labels": labels_M[rows]}
                yield jax.device_put(batch, trainer.batch_shardings)
                step += 1

        probes = trainer.fit(batches_from).params
        clips, labels_M = data["validation"]
        held_out = _Features(self._task, models, clips, config.batch_size, self._context.mesh)
        predict = jax.jit(lambda probes, hidden: task.predict(probes, {"hidden": hidden}))
        correct = {kind: np.zeros(len(mean_LD)) for kind in KINDS}
        for start in range(0, len(labels_M), config.batch_size):
            rows = np.arange(start, min(start + config.batch_size, len(labels_M)))
            full = np.resize(rows, config.batch_size)  # the last batch is filled up by repeating it
            for kind, logits_LBC in predict(probes, held_out.rows(full)).items():
                guessed_LB = fetch(logits_LBC).argmax(-1)[:, : len(rows)]
                correct[kind] += (guessed_LB == labels_M[rows]).sum(axis=1)
        return {kind: 100 * count / len(labels_M) for kind, count in correct.items()}


@dataclasses.dataclass(frozen=True)
class _Clips:
    """Some clips of a split by record number, or of each a single frame."""

    split: Split
    numbers_M: np.ndarray
    frames_M: np.ndarray | None

    def batch(self, rows_B: np.ndarray) -> dict[str, np.ndarray]:
        """Returns some of them as the task takes them."""
        frames_B = None if self.frames_M is None else self.frames_M[rows_B]
        return self.split.batch(self.numbers_M[rows_B], frames_B)


def _labelled(split: Split, limit: int, medium: str) -> tuple[_Clips, np.ndarray]:
    """Returns a split's labelled videos or images, and labels_M."""
    numbers_M, frames_M, labels_M = split.labelled(limit, medium)
    return _Clips(split, numbers_M, frames_M), labels_M


class _Features:
    """Frozen hidden states of clips, computed once if they fit into memory and anew for each batch if not.

    Those of several models stand one behind the other along the axis of layers.
    """

    def __init__(
        self,
        task: SequenceTask,
        models: tuple[Params, ...],
        clips: _Clips,
        batch_size: int,
        mesh: Mesh,
    ):
        self._models = models
        self._clips = clips
        self._batch_size = batch_size
        self._mesh = mesh
        self._hidden = _hidden_function(task)
        first = self._compute(next(self._batches()))
        self.dtype, self.positions = first.dtype, first.shape[2]
        self._cache: np.ndarray | None = None
        if first.nbytes // batch_size * self._count <= _CACHE_BYTES:
            parts = [fetch(self._compute(rows)) for rows in self._batches()]
            self._cache = np.concatenate(parts)[: self._count]

    @property
    def _count(self) -> int:
        return len(self._clips.numbers_M)

    def rows(self, rows_B: np.ndarray) -> np.ndarray | jax.Array:
        """Returns hidden_BLND of these clips, the first one being 0."""
        return self._compute(rows_B) if self._cache is None else self._cache[rows_B]

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns (mean_LD, std_LD) over all clips of features averaged over positions."""
        pooled = [fetch(jnp.mean(self.rows(rows).astype(jnp.float32), axis=2)) for rows in self._batches()]
        pooled_MLD = np.concatenate(pooled)[: self._count]
        return pooled_MLD.mean(axis=0), pooled_MLD.std(axis=0)

    def _batches(self) -> Iterator[np.ndarray]:
        return batches_of(np.arange(self._count), self._batch_size)

    def _compute(self, rows_B: np.ndarray) -> jax.Array:
        batch = spread(self._clips.batch(rows_B), self._mesh)
        return jnp.concatenate([self._hidden(params, batch) for params in self._models], axis=1)


@functools.lru_cache(maxsize=4)
def _hidden_function(task: SequenceTask) -> jax.stages.Wrapped:
    """Returns the jitted function (params, batch) -> hidden_BLND of all states."""
    layers = tuple(range(task.decoder.config.layers + 1))

    def hidden(params: Params, batch: Batch) -> jax.Array:
        return jnp.moveaxis(task.features(params, batch, layers), 0, 1)

    return jax.jit(hidden)


def _shuffled_rows(step: int, batch_size: int, rows: int, seed: int) -> np.ndarray:
    """Returns the rows of a step: each epoch takes every row at most once, in an order of its own."""
    epoch, place = divmod(step, rows // batch_size)
    order = np.random.default_rng([seed, epoch]).permutation(rows)
    return order[place * batch_size : (place + 1) * batch_size]
