"""Checkpoints: complete or invisible, parameters apart from the rest. The only file that knows Orbax.

`<directory>/<step>/` holds the items `params`, `ema` (where averages are kept) and `train` (optimizer state
and counters), and the run's config and tokenizer spec as JSON. A step is listed only once its commit marker is written.
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

from toto_jax.errors import CheckpointError, ConfigError, StorageError
from toto_jax.training.state import TrainState
from toto_jax.tree import Params, named_leaves


@dataclasses.dataclass(frozen=True)
class CheckpointConfig:
    """Attributes:
    every: steps between saves; the last step is always saved.
    keep: how many of the newest stay.
    keep_every: steps whose checkpoints stay for good; 0 turns it off.
    """

    every: int
    keep: int
    keep_every: int

    def __post_init__(self) -> None:
        if self.every < 1 or self.keep < 1 or self.keep_every < 0:
            raise ConfigError(f"config.checkpoint needs every >= 1, keep >= 1, keep_every >= 0, got {self}")


class Checkpoints:
    """The checkpoints of one run.

    Args:
      directory: made if it isn't there; what a killed save left behind is removed.
      config: which ones to keep.
      metadata: JSON stored with each (the run's config, the tokenizer's spec).
    """

    def __init__(self, directory: pathlib.Path, config: CheckpointConfig, metadata: dict[str, Any]):
        policies = ocp.training.preservation_policies
        keep = [policies.LatestN(config.keep)]
        if config.keep_every:
            keep.append(policies.EveryNSteps(config.keep_every))
        self.directory = directory
        self._every = config.every
        self._metadata = metadata
        self._pending: tuple[int, Any] | None = None
        self._failed = False
        self._checkpointer = ocp.training.Checkpointer(
            directory.absolute(),
            # `due` decides when to save, so Orbax must not refuse.
            save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(1),
            preservation_policy=policies.AnyPreservationPolicy(keep),
            cleanup_tmp_directories=True,
            context=_context(),
        )

    def due(self, step: int) -> bool:
        """Whether the state after `step` steps is to be saved by the interval."""
        return step % self._every == 0

    @property
    def latest_step(self) -> int | None:
        """The newest complete checkpoint's step, or None."""
        latest = self._checkpointer.latest
        return None if latest is None else latest.step

    def save(self, step: int, state: TrainState) -> None:
        """Starts to save the state and returns once it is copied; a save still under way is waited for first.

        Raises:
          StorageError: if the save before this one failed.
        """
        self.wait()
        if self.latest_step == step:
            return
        with self._storage_errors(step):
            response = self._checkpointer.save_checkpointables_async(
                step, _items(state), custom_metadata=self._metadata
            )
        self._pending = (step, response)

    def wait(self) -> None:
        """Waits for the save under way.

        Raises:
          StorageError: if it failed.
        """
        if self._pending is not None:
            (step, response), self._pending = self._pending, None
            with self._storage_errors(step):
                response.result()

    def restore(self, abstract: TrainState) -> TrainState:
        """Returns the newest state, in the shapes, dtypes and shardings of `abstract`.

        Raises:
          CheckpointError: if there is none, or if its parameters are not those of `abstract`.
        """
        step = self.latest_step
        if step is None:
            raise CheckpointError(f"There is no complete checkpoint in {self.directory}")
        items = _load(self.directory / str(step), _items(abstract))
        return TrainState(params=items["params"], ema=items.get("ema"), **items["train"])

    def close(self) -> None:
        """Waits for the save under way and lets go of the directory."""
        try:
            self.wait()
        finally:
            # Orbax raises a failed save once more here; it has been told already.
            with contextlib.suppress(Exception) if self._failed else contextlib.nullcontext():
                self._checkpointer.close()

    @contextlib.contextmanager
    def _storage_errors(self, step: int) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, RuntimeError) as error:
            self._failed = True
            raise StorageError(
                f"Saving step {step} into {self.directory} failed: {_first_line(error)}. Complete checkpoints are "
                f"untouched, the newest is step {self.latest_step}. Make room (or make the folder writable) and run "
                "the same command again: it goes on from there"
            ) from error


def _context() -> ocp.Context:
    context = ocp.Context()
    # Without a marker an empty folder named like a step would count as the newest checkpoint.
    context.atomicity.mode = ocp.options.AtomicityMode.COMMIT_FILE
    return context


def list_steps(directory: pathlib.Path) -> list[int]:
    """Returns the steps of the complete checkpoints in `directory`, oldest first."""
    if not directory.is_dir():
        return []
    with ocp.training.Checkpointer(directory.absolute(), context=_context()) as checkpointer:
        return sorted(checkpoint.step for checkpoint in checkpointer.checkpoints)


def read_metadata(checkpoint: pathlib.Path) -> dict[str, Any]:
    """Returns the JSON stored with the checkpoint folder `<directory>/<step>`.

    Raises:
      CheckpointError: if it isn't a checkpoint of this package.
    """
    try:
        metadata = ocp.checkpointables_metadata(checkpoint.absolute()).custom_metadata
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{checkpoint} is not a complete checkpoint: {_first_line(error)}") from error
    if not metadata or "config" not in metadata:
        raise CheckpointError(f"{checkpoint} has no config: it was not saved by toto_jax")
    return metadata


def params_differences(checkpoint: pathlib.Path, abstract: Params, averaged: bool) -> list[str]:
    """Returns a line for each way in which the checkpoint's parameters are not those of `abstract`; reads none.

    Raises:
      CheckpointError: if it isn't a complete checkpoint.
    """
    return _problems(checkpoint, {"ema" if averaged else "params": abstract})


def restore_params(checkpoint: pathlib.Path, abstract: Params, averaged: bool) -> Params:
    """Returns parameters alone, with the shapes, dtypes and shardings of `abstract`, whatever mesh saved them.

    Args:
      checkpoint: the folder `<directory>/<step>`.
      abstract: tree of `jax.ShapeDtypeStruct` with shardings.
      averaged: take the averages instead of the trained parameters.

    Raises:
      CheckpointError: if the checkpoint holds another tree, with all differences.
    """
    item = "ema" if averaged else "params"
    return _load(checkpoint, {item: abstract})[item]


def _items(state: TrainState) -> dict[str, Any]:
    train = {
        "step": state.step,
        "opt_state": state.opt_state,
        "bad_steps": state.bad_steps,
        "bad_steps_in_a_row": state.bad_steps_in_a_row,
    }
    items = {"params": state.params, "train": train}
    return items if state.ema is None else {**items, "ema": state.ema}


def _problems(checkpoint: pathlib.Path, abstract: dict[str, Any]) -> list[str]:
    try:
        saved = ocp.checkpointables_metadata(checkpoint.absolute()).metadata
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{checkpoint} is not a complete checkpoint: {_first_line(error)}") from error
    problems = []
    for item, tree in abstract.items():
        if item not in saved:
            problems.append(f"the item {item!r} is missing")
        elif item != "train":  # optax tuples come back as lists in metadata; Orbax compares them on loading
            problems += _differences(item, named_leaves(saved[item]), named_leaves(tree))
    return problems


def _load(checkpoint: pathlib.Path, abstract: dict[str, Any]) -> dict[str, Any]:
    if problems := _problems(checkpoint, abstract):
        shown = "\n  ".join(problems[:20])
        raise CheckpointError(
            f"{checkpoint} does not fit this config ({len(problems)} differences):\n  {shown}\n"
            "Use the config that it was trained with (stored in it), or another workdir"
        )
    try:
        return ocp.load_checkpointables(checkpoint.absolute(), abstract)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{checkpoint} can't be read: {_first_line(error)}") from error


def _differences(item: str, saved: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    lines = [f"{item}: {name} is missing" for name in wanted if name not in saved]
    lines += [f"{item}: {name} is not in this config's model" for name in saved if name not in wanted]
    for name in wanted.keys() & saved.keys():
        if tuple(saved[name].shape) != tuple(wanted[name].shape):
            lines.append(
                f"{item}: {name} has shape {saved[name].shape}, this config's has {wanted[name].shape}"
            )
    return sorted(lines)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or repr(error)).splitlines()[0][:300]


def abstract_like(tree: Any, shardings: Any) -> Any:
    """Returns `tree` (of arrays or abstract ones) as `ShapeDtypeStruct` with these shardings."""
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        tree,
        shardings,
    )


def choose_step(folder: pathlib.Path, step: int | None) -> int:
    """Returns `step` if it has a complete checkpoint in `folder`, or the newest for None.

    Raises:
      CheckpointError: naming the steps that there are.
    """
    steps = list_steps(folder)
    if not steps:
        raise CheckpointError(
            f"There is no complete checkpoint in {folder}; train first, or give another --workdir"
        )
    if step is None:
        return steps[-1]
    if step not in steps:
        raise CheckpointError(
            f"{folder} has no checkpoint of step {step}; it has {', '.join(map(str, steps))}"
        )
    return step


def find_checkpoint(path: pathlib.Path, step: int | None = None) -> pathlib.Path:
    """Returns a checkpoint's folder.

    Args:
      path: a workdir, or one of its checkpoints (`<workdir>/checkpoints/<step>`).
      step: which checkpoint of a workdir; the newest by default.

    Raises:
      CheckpointError: if `path` is neither, or the workdir has no such checkpoint.
    """
    if (path / "checkpoints").is_dir():
        return path / "checkpoints" / str(choose_step(path / "checkpoints", step))
    if not path.name.isdigit():
        raise CheckpointError(f"{path} is neither a workdir with checkpoints nor a checkpoint folder")
    return path
