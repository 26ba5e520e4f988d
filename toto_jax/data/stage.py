"""Keeps on the local disk the shards that a run reads now and next, copied from a mount or an object store.

  python -m toto_jax.data.stage --config=configs/1b.py --workdir=... --config.data.shards=/local/shards \
    --config.data.window=64 --source=gs://bucket/shards --gigabytes=200 &

Beside the run on each of its hosts, with the run's own flags; start it again after a kill. docs/storage.md says more.
"""

import functools
import pathlib
import time

from absl import flags
from ml_collections import config_flags

from toto_jax.command_line import run_command
from toto_jax.data.mixture import Mixture
from toto_jax.data.pipeline import READ_AHEAD
from toto_jax.data.staging import Stager, Store
from toto_jax.settings import Settings, parse
from toto_jax.training.checkpoint import list_steps
from toto_jax.training.metrics import read_metrics

_CONFIG = config_flags.DEFINE_config_file("config", None, "The run's config file, with the same overrides.")
_WORKDIR = flags.DEFINE_string("workdir", None, "The run's folder, which says how far it is.")
_SOURCE = flags.DEFINE_string(
    "source", None, "Folder of <source>/<split> shards: a path, gs://bucket/shards."
)
_GIGABYTES = flags.DEFINE_float("gigabytes", 100.0, "10^9 bytes that the local shards may take.")
_COPIES = flags.DEFINE_integer("copies", 8, "Files copied at once.", lower_bound=1)
_LOOK_SECONDS = flags.DEFINE_float("look_seconds", 5.0, "Between looks at how far the run is.")
_ONCE = flags.DEFINE_bool("once", False, "Copy what fits for now, and end.")
flags.mark_flags_as_required(["config", "workdir", "source"])


def stage() -> None:
    """Copies ahead of the run and deletes behind it, until it has done its last step."""
    settings, workdir = parse(_CONFIG.value), pathlib.Path(_WORKDIR.value)
    data, steps, room = settings.data, settings.train.steps, int(_GIGABYTES.value * 10**9)
    folder = pathlib.Path(data.shards or workdir / "shards")
    mixture = Mixture(data.mixture, settings.train.batch_size)
    store, say = Store(_SOURCE.value), functools.partial(print, flush=True)
    stager = Stager(store, folder, mixture, data.window, settings.seed, steps, _COPIES.value, say)
    stager.check_room(room, _steps_ahead(settings))
    stager.begin()
    ready = False
    while (step := steps_done(workdir)) < steps:
        copied, missing = stager.advance(step, room)
        if copied or missing:
            ready = False
        if not missing and not ready:
            ready = True
            say(f"step {step}: {folder} holds what comes next")
        if _ONCE.value and not missing:
            return
        if not copied:
            time.sleep(_LOOK_SECONDS.value)
    say(f"The run has done its {steps} steps")


def steps_done(workdir: pathlib.Path) -> int:
    """Returns how far a run is, by its log and its checkpoints; 0 before it starts."""
    logged = [line["step"] for line in read_metrics(workdir)[-1:]]
    return max([*logged, *list_steps(workdir / "checkpoints")], default=0)


def _steps_ahead(settings: Settings) -> int:
    """How far the reader may be ahead of the log: its interval, what is read ahead, and two steps on their way."""
    data = settings.data
    return settings.train.log_every + (READ_AHEAD + 1) * max(data.workers, 1) + data.prefetch + 2


if __name__ == "__main__":
    run_command(stage)
