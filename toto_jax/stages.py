"""A run from media to report: what is missing is prepared, what is there is reused.

Training a tokenizer is the same run on another config, one folder deeper.
"""

import dataclasses
import json
import pathlib
import time
from collections.abc import Callable

import jax
import ml_collections

from toto_jax.config import differences, from_json, to_json
from toto_jax.data.job import Job
from toto_jax.data.timeline import Timeline
from toto_jax.data.worker import Share, Worker
from toto_jax.errors import ConfigError, DataError
from toto_jax.evaluation.descriptions import EVALUATORS
from toto_jax.evaluation.run_files import write_summary
from toto_jax.experiment import Experiment, build
from toto_jax.models.parametrisation import table
from toto_jax.settings import Settings
from toto_jax.shard_job import load_shard_tokenizer, open_shard_job, tokenizer_path
from toto_jax.sharding.agreement import fetch, is_first, on_all_processes, on_first_process
from toto_jax.sharding.report import sharding_report
from toto_jax.starting_point import StartingPoint, find_starting_point
from toto_jax.tokenizers.base import TokenizerSpec
from toto_jax.tokenizers.loading import SPEC_NAME, read_spec, save_tokenizer
from toto_jax.training.checkpoint import Checkpoints
from toto_jax.training.loop import Hook
from toto_jax.training.metrics import MetricWriter, duration
from toto_jax.training.profiling import Profiler
from toto_jax.training.state import TrainState
from toto_jax.tree import count

Log = Callable[[str], None]

# What a person reads when training starts.
_PURPOSES = {
    "next_token": "a transformer learns to predict each code of a clip from all that came before",
    "patch_to_patch": "a transformer learns to predict each patch of a clip from the pixels of all that came before",
    "patch_to_code": "a transformer learns to predict each code of a clip from the pixels of all that came before",
    "tokenizer": "pictures are squeezed through codes and painted again, until little is lost",
}

# What a run may change when it goes on in its workdir. Anything else would make its first half another experiment.
FREE_KEYS = (
    "checkpoint.",
    "data.prefetch",
    "data.wait_seconds",
    "data.workers",
    "decoding.",
    "evals.",
    "mesh.",
    "model.attention",
    "model.remat",
    "model.scan_unroll",
    "name",
    "next_token.loss_chunks",
    "patches.loss_chunks",
    "profile.",
    "report",
    "tokenizer.path",
    "tokenizer.training",
    "train.log_every",
    "train.max_bad_steps",
    "vqgan.perceptual_weights",
)

# Where a run came without media (`save_pretrained`), it may be given some to write shards of.
_UNSET = ("data.annotations: () -> ", "data.media: '' -> ")


def run(config: ml_collections.ConfigDict, workdir: pathlib.Path, log: Log = print) -> Experiment:
    """Prepares what is missing, trains to the last step, evaluates, and writes the report (and a trained tokenizer).

    Returns:
      The experiment, for whoever wants to go on with it.
    """
    # Before the workdir is claimed, as a config with a mistake in it would stay there.
    experiment = build(config, workdir)
    settings, origin = experiment.settings, find_starting_point(experiment)
    on_first_process(experiment.trainer.check_frozen)
    on_first_process(lambda: claim_workdir(config, workdir))
    prepare(settings, workdir, log)
    train(experiment, config, origin, log)
    if settings.task == "tokenizer":
        path, task = experiment.tokenizer_path, experiment.task
        params = fetch(task.tokenizer_params(experiment.restore_params()[0]))
        saved = on_first_process(lambda: save_tokenizer(path, task.network, params).content_hash)
        log(f"Tokenizer {saved[:12]} saved in {path}")
    if settings.report:
        from toto_jax.evaluation.report import write_report

        log(f"Report: {on_first_process(lambda: str(write_report(workdir)))}")
    return experiment


def claim_workdir(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> None:
    """Writes `config.json`, or checks that the one there is of the same experiment.

    Raises:
      ConfigError: with every difference, if the workdir belongs to another config.
    """
    path = workdir / "config.json"
    if path.exists():
        changed = [
            line
            for line in differences(from_json(path.read_text()), from_json(to_json(config)))
            if not line.startswith(FREE_KEYS + _UNSET)
        ]
        if changed:
            shown = "\n  ".join(changed[:20])
            raise ConfigError(
                f"{workdir} holds a run of another config. Differences (there -> here):\n  {shown}\n"
                "Give another --workdir, or the config that it was started with"
            )
    workdir.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(to_json(config))
    temporary.replace(path)


def prepare(settings: Settings, workdir: pathlib.Path, log: Log) -> None:
    """Makes the run's shards, and the tokenizer that they need, if they aren't there.

    Raises:
      DataError: when shards are missing and the config names no media to make them of.
    """
    for what, shards in settings.shard_folders(workdir).items():
        _prepare_shards(settings, what, shards, workdir, log)


def _prepare_shards(
    settings: Settings, what: str, shards: pathlib.Path, workdir: pathlib.Path, log: Log
) -> None:
    sources = settings.data.sources
    missing = on_first_process(
        lambda: [
            name
            for name in sources
            if not all(
                (shards / name / split / "manifest.json").exists() for split in ("train", "validation")
            )
        ]
    )
    if not missing:
        return
    if not settings.data.media or missing != sources[:1]:
        raise DataError(
            f"There are no shards of {', '.join(missing)} in {shards} ({what}). "
            "Write them with python -m toto_jax.pretokenize, or name a folder of videos or images "
            "with --config.data.media=... and have them written here"
        )
    kind, why = "pixel", "clips are cut once"
    if what == "codes":
        path = tokenizer_path(settings, workdir)
        if not on_first_process((path / SPEC_NAME).exists):
            train_tokenizer(settings, path, workdir / "tokenizer_run", log)
        check_tokenizer(settings, read_spec(path))
        kind, why = "token", "clips become codes once"
    log(
        f"\n== Writing {kind} shards of {settings.data.media}: {why}, so that training only reads them\n"
        f"   {shards / missing[0]}"
    )
    write_shards(settings, workdir, what)


def write_shards(settings: Settings, workdir: pathlib.Path, what: str) -> None:
    """Writes the shards of the mixture's first source, each process of the job its share."""
    on_first_process(lambda: open_shard_job(settings, workdir, what, listed=False) and None)
    share = Share(jax.process_index(), jax.process_count())

    def work() -> tuple[Job, Worker]:
        job = open_shard_job(settings, workdir, what, listed=True)
        tokenizer = load_shard_tokenizer(settings, workdir, what)
        return job, job.work(tokenizer, settings.decoding, share, Timeline(keep=False))

    job, worker = on_all_processes(work)
    on_first_process(lambda: job.close(worker.complete) and None)


def check_tokenizer(settings: Settings, spec: TokenizerSpec) -> None:
    """Raises ConfigError if a saved tokenizer makes other codes than the model is made for."""
    wanted, size = settings.geometry, settings.clips.size
    grid, codes = spec.grid(size, size), settings.tokenizer.codebook_size
    if (grid, spec.codebook_size) != ((wanted.height, wanted.width), codes):
        keys = {"kind": spec.kind, **spec.architecture}
        # In quotes, for a shell to take the brackets of tuples.
        values = {
            key: f"'{tuple(value)}'" if isinstance(value, list) else repr(value)
            for key, value in keys.items()
        }
        shown = " ".join(f"--config.tokenizer.{key}={value}" for key, value in values.items())
        raise ConfigError(
            f"The saved tokenizer makes {grid[0]} x {grid[1]} codes out of {spec.codebook_size} of {size} pixels, the "
            f"config is made for {wanted.height} x {wanted.width} out of {codes}. Describe it in the config: {shown}"
        )


def train_tokenizer(settings: Settings, path: pathlib.Path, workdir: pathlib.Path, log: Log) -> None:
    """Trains the tokenizer that the config describes, on the same media, and saves it in `path`.

    Raises:
      ConfigError: if the config has no recipe for it.
    """
    if settings.tokenizer.training is None:
        raise ConfigError(
            f"There is no tokenizer in {path}, and config.tokenizer.training has no recipe to train one. "
            "Set config.tokenizer.path to the folder of a saved tokenizer"
        )
    config = ml_collections.ConfigDict(json.loads(json.dumps(settings.tokenizer.training)))
    for key in ("media", "layout", "annotations", "labels"):
        config.data[key] = getattr(settings.data, key)
    config.decoding.update(dataclasses.asdict(settings.decoding))
    config.tokenizer.update(settings.tokenizer.architecture)
    config.tokenizer.path = str(path)
    log(
        "\n== Preparing the tokenizer: it turns frames into discrete codes, the words that the transformer will predict"
    )
    run(config, workdir, log)


def train(
    experiment: Experiment, config: ml_collections.ConfigDict, origin: StartingPoint | None, log: Log
) -> TrainState:
    """Trains, evaluating as the config says.

    It goes on from the newest checkpoint of the workdir where there is one, or starts with the parameters of `origin`,
    or with random ones.
    """
    settings, trainer = experiment.settings, experiment.trainer
    manifests = experiment.pipeline.paired or experiment.pipeline.manifests
    spec = next(iter(manifests.values())).tokenizer
    scales = table(trainer.scales)
    metadata = {"config": json.loads(to_json(config)), "tokenizer": spec.to_json(), "scales": scales}
    if origin is not None:
        origin.check_tokenizer(spec)
        on_first_process(lambda: write_summary(experiment.workdir, {"started_from": str(origin.checkpoint)}))
    checkpoints = Checkpoints(experiment.checkpoint_folder, settings.checkpoint, metadata)
    start = checkpoints.latest_step or 0
    writer = MetricWriter(experiment.workdir, start, experiment.epochs) if is_first() else None
    values = count(trainer.abstract_state.params)
    log(
        f"\n== Training {settings.name}: {_PURPOSES[settings.task]}\n   {values / 1e6:.2f}M parameters, "
        f"{settings.train.steps} steps of {settings.train.batch_size} clips on {experiment.mesh.size} device(s)"
    )
    for name, entry in settings.evals.items():
        when = f"every {entry['every']} steps and at the end" if entry["every"] else "at the end"
        log(f"   {name}, {when}: {EVALUATORS[entry['type']].purpose}")
    if experiment.mesh.size > 1:
        log(sharding_report(trainer.abstract_state.params, trainer.state_shardings.params, experiment.mesh))
    if settings.data.other_shapes:
        log(f"   Left out of evaluations, as of other shapes: {', '.join(settings.data.other_shapes)}")
    if settings.mup.enabled:
        log("   Each parameter's factors by muP:\n      " + "\n      ".join(scales))
    if start:
        log(f"Going on from step {start}")
    elif origin is not None:
        log(f"Starting with the parameters of {origin.checkpoint}")
    try:
        if start < settings.train.steps:
            for line in experiment.pipeline.summary(settings.train.steps):
                log(f"   {line}")
        state = trainer.fit(
            experiment.batches_from,
            checkpoints=checkpoints,
            initial=None if origin is None else origin.read,
            writer=writer,
            hooks=[
                Hook(entry["every"], _evaluation(experiment, name, writer, log))
                for name, entry in settings.evals.items()
            ],
            profiler=Profiler(settings.profile, experiment.workdir / "profile", log),
            log=log,
        )
    finally:
        if writer is not None:
            writer.close()
        checkpoints.close()
    return state


def _evaluation(
    experiment: Experiment, name: str, writer: MetricWriter | None, log: Log
) -> Callable[[int, TrainState], None]:
    def evaluate(step: int, state: TrainState) -> None:
        began = time.perf_counter()
        numbers = experiment.evaluate(name, step, state.best_params)
        if writer is not None:
            writer.write(step, name, numbers)
        shown = "  ".join(f"{key.replace('_', ' ')} {value:.4g}" for key, value in list(numbers.items())[:6])
        log(f"  {name} ({duration(time.perf_counter() - began)}): {shown}")

    return evaluate
