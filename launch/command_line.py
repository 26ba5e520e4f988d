"""What the launcher's commands share: how flags may be spelled, and errors that become one message and an exit code.

Nothing here imports JAX.
"""

import os
import sys
import traceback
from collections.abc import Callable, Sequence

from absl import app, flags
from ml_collections.config_flags import config_path

from toto_jax.errors import ConfigError, TotoError


def run_command(command: Callable[[], None]) -> None:
    """Runs a command; a `TotoError` becomes one message and its exit code, a reader that has gone a quiet end.

    Overrides of the config may stand behind `--`, which is left out: they are flags like all others. Flags may be
    spelled with dashes.
    """
    if "--" in sys.argv:
        sys.argv.remove("--")
    # In place: the flags of configs look for overrides there.
    sys.argv[1:] = as_defined(sys.argv[1:], flags.FLAGS)

    def main(argv: list[str]) -> None:
        if len(argv) > 1:
            raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
        command()

    try:
        try:
            app.run(main, flags_parser=_parse)
        finally:
            sys.stdout.flush()
    except TotoError as error:
        print(f"\n{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Python would flush once more when it ends, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def as_defined(words: Sequence[str], known: flags.FlagValues) -> list[str]:
    """Returns the words of a command line with flags' names as they are defined: `--dry-run` is `--dry_run`.

    Args:
      words: without the program's name.
      known: the flags that there are; words that name none, and values, stay as they are.
    """
    names = {}
    for name in known:
        dashed = name.replace("_", "-")
        names[dashed] = name
        if known[name].boolean:
            names[f"no{dashed}"] = names[f"no-{dashed}"] = f"no{name}"
    spelled, is_value = [], False
    for word in words:
        given, equals, value = word.lstrip("-").partition("=")
        if is_value or not word.startswith("-"):
            spelled.append(word)
            is_value = False
            continue
        dashes, name = word[: len(word) - len(word.lstrip("-"))], names.get(given.replace("_", "-"), given)
        spelled.append(f"{dashes}{name}{equals}{value}")
        is_value = not equals and name in known and not known[name].boolean
    return spelled


def _parse(argv: list[str]) -> list[str]:
    """Parses the flags; what is wrong with them, or with overrides of a config, is an error for people."""
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        said = str(error)
        if "whilst parsing config file" in said:
            # What a config file says of its variant, without where it was said.
            said = said.rpartition("\nValueError: ")[2] or said
        raise ConfigError(f"{said.strip()}\n--help lists the flags") from error
    except (AttributeError, KeyError) as error:
        # A config file may raise these too, and its author wants to see where.
        if all(frame.filename != config_path.__file__ for frame in traceback.extract_tb(error.__traceback__)):
            raise
        said = error
        while isinstance(said, Exception):
            said = said.args[0]
        words = " ".join(str(said).splitlines())
        raise ConfigError(f"An override's key is not in the config: {words}") from error
