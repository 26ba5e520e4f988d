"""A run that starts with the parameters of another one (`config.init_from`): a fine-tune, as the paper's 16 -> 32.

The optimizer, the steps and the data begin anew. What is not in the shapes of the parameters may differ: the grid, the
frames, the rotary base, the learning rate, the mesh. The tokenizer may not: parameters know its codes by number.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from toto_jax.config import differences
from toto_jax.data.manifest import MANIFEST
from toto_jax.errors import CheckpointError, DataError
from toto_jax.experiment import Experiment
from toto_jax.tokenizers.base import TokenizerSpec
from toto_jax.tokenizers.loading import SPEC_NAME, read_spec
from toto_jax.training.checkpoint import (
    abstract_like,
    find_checkpoint,
    list_steps,
    params_differences,
    read_metadata,
    restore_params,
)
from toto_jax.tree import Params

# What of a config decides the shapes of parameters.
_SHAPING = (
    "model.",
    "tokenizer.",
    "patches.side",
    "vqgan.adversarial_weight",
    "vqgan.codebook:",
    "vqgan.discriminator_layers",
    "vqgan.discriminator_width",
)
_UNSHAPING = ("tokenizer.encode_dtype", "tokenizer.path", "tokenizer.training")


@dataclasses.dataclass(frozen=True)
class StartingPoint:
    """Parameters of another run that fit this one.

    Attributes:
      experiment: this run.
      checkpoint: the other one's.
      averaged: whether its averaged parameters are taken: where it keeps an average, as `from_pretrained` does.
      tokenizer: the one whose codes they were trained on, if the checkpoint tells.
    """

    experiment: Experiment
    checkpoint: pathlib.Path
    averaged: bool
    tokenizer: TokenizerSpec | None

    def check_tokenizer(self, spec: TokenizerSpec) -> None:
        """Raises DataError if this run's codes are those of another tokenizer."""
        mine, theirs = spec, self.tokenizer
        if theirs is not None and mine.content_hash != theirs.content_hash:
            path = self.checkpoint.parent.parent / "tokenizer"
            raise DataError(
                f"The parameters in {self.checkpoint} were trained on codes of the tokenizer {theirs.kind} "
                f"{theirs.content_hash[:12]}, and this run's codes are of {mine.kind} {mine.content_hash[:12]}: the "
                "same numbers mean different pictures. Write the shards with the other run's tokenizer "
                f"(--config.tokenizer.path={path}, or where that run had it), or leave config.init_from empty"
            )

    def read(self) -> Params:
        """Returns the parameters, each part of them read by the device that keeps it in this run."""
        trainer = self.experiment.trainer
        abstract = abstract_like(trainer.abstract_state.params, trainer.state_shardings.params)
        return restore_params(self.checkpoint, abstract, self.averaged)


def find_starting_point(experiment: Experiment) -> StartingPoint | None:
    """Returns where `config.init_from` has this run start, checked against its config; no parameter is read.

    Returns None if the config names nothing, and for a run that has a checkpoint of its own to go on from.

    Raises:
      CheckpointError: if there is no such checkpoint, or its parameters are not those of this config's model, with all
        that differs.
      DataError: if the tokenizer that this run has already is not the one that the parameters know.
    """
    settings = experiment.settings
    if not settings.init_from or list_steps(experiment.checkpoint_folder):
        return None
    checkpoint = find_checkpoint(pathlib.Path(settings.init_from))
    metadata = read_metadata(checkpoint)
    config = metadata["config"]
    if config["task"] != settings.task:
        raise CheckpointError(
            f"config.init_from={settings.init_from!r} is a run of the task {config['task']!r}, this one is of "
            f"{settings.task!r}: their parameters are of different things"
        )
    averaged = config["optimizer"]["ema"] > 0
    lines = params_differences(checkpoint, experiment.trainer.abstract_state.params, averaged)
    if lines:
        changed = _changed_settings(config, experiment)
        raise CheckpointError(
            f"The parameters in {checkpoint} are not those of this config's model ({len(lines)} differences):\n  "
            + "\n  ".join(lines[:20])
            + "\nThe configs differ (there -> here) in:\n  "
            + "\n  ".join(changed or ["nothing that shapes parameters"])
            + "\nTake that run's values, or leave config.init_from empty"
        )
    other_mup = differences({"mup": config["mup"]}, {"mup": dataclasses.asdict(settings.mup)})
    if other_mup and (config["mup"]["enabled"] or settings.mup.enabled):
        raise CheckpointError(
            f"The parameters in {checkpoint} were trained in another parametrisation, where the same numbers are other "
            "functions (there -> here):\n  " + "\n  ".join(other_mup) + "\nTake that run's values"
        )
    wrote = metadata.get("tokenizer")
    tokenizer = None if wrote is None else TokenizerSpec.from_json(wrote)
    point = StartingPoint(experiment, checkpoint, averaged, tokenizer)
    folder = settings.shard_folders(experiment.workdir).get("codes")
    if folder is None:
        return point
    if (experiment.tokenizer_path / SPEC_NAME).exists():
        spec = read_spec(experiment.tokenizer_path)
        point.check_tokenizer(spec.encoded_in(settings.tokenizer.encode_dtype))
    elif tokenizer is not None and not (folder / settings.data.sources[0] / "train" / MANIFEST).exists():
        raise DataError(
            f"There is no tokenizer in {experiment.tokenizer_path} and there are no shards in {folder}, and a new "
            f"tokenizer's codes would mean nothing to the parameters in {checkpoint}. Take the other run's: "
            f"--config.tokenizer.path={checkpoint.parent.parent / 'tokenizer'}, or where that run had it"
        )
    return point


def _changed_settings(config: Mapping[str, Any], experiment: Experiment) -> list[str]:
    """Returns a line for each setting that shapes parameters and isn't that of the other run's config."""
    settings = experiment.settings
    mine = {name: vars(getattr(settings, name)) for name in ("tokenizer", "patches", "vqgan")}
    mine["model"] = dict(settings.model)
    lines = differences({name: config[name] for name in mine}, mine)
    return [line for line in lines if line.startswith(_SHAPING) and not line.startswith(_UNSHAPING)]
