"""What the launcher's commands share: errors become one message and an exit code. Nothing here imports JAX."""

import sys
from collections.abc import Callable

from absl import app

from toto_jax.errors import TotoError


def run_command(command: Callable[[], None]) -> None:
    """Runs a command; a `TotoError` becomes one message and its exit code.

    Overrides of the config may stand behind `--`, which is left out: they are flags like all others.
    """
    if "--" in sys.argv:
        sys.argv.remove("--")

    def main(argv: list[str]) -> None:
        if len(argv) > 1:
            raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
        try:
            command()
        except TotoError as error:
            print(f"\n{type(error).__name__}: {error}", file=sys.stderr)
            sys.exit(error.exit_code)

    app.run(main)
