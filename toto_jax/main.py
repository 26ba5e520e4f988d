"""Trains whatever task the config names.

  python -m toto_jax.main --config=configs/quickstart.py --workdir=runs/quickstart

Run it again with the same workdir and it goes on where it stopped.
"""

import pathlib
import sys

from absl import app, flags, logging
from ml_collections import config_flags

from toto_jax.errors import TotoError
from toto_jax.stages import run

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Config file; override with --config.key=value.", lock_config=True
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for checkpoints, logs, results and the report.")
flags.mark_flags_as_required(["config", "workdir"])


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    logging.set_verbosity(logging.WARNING)
    try:
        run(_CONFIG.value, pathlib.Path(_WORKDIR.value))
    except TotoError as error:
        print(f"\n{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    app.run(main)
