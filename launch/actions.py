"""A launch as data: files to write and commands to run, which a dry run prints and a launch executes."""

import dataclasses
import pathlib
import shlex
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Write:
    """A file to write."""

    path: pathlib.Path
    text: str


@dataclasses.dataclass(frozen=True)
class Run:
    """A command to run and wait for.

    Attributes:
      argv: its words.
      once: whether it is left out when an earlier launch into the same workdir has ended it well.
    """

    argv: tuple[str, ...]
    once: bool = False


@dataclasses.dataclass(frozen=True)
class Attempts:
    """Commands of members that the launcher keeps going until each is done or given up.

    Attributes:
      commands: member's name -> its command.
      parallel: how many at once.
      inside: member's name -> the commands that its command goes through, if it does nothing else.
    """

    commands: dict[str, tuple[str, ...]]
    parallel: int
    inside: dict[str, tuple[tuple[str, ...], ...]] = dataclasses.field(default_factory=dict)


Action = Write | Run | Attempts


def render(actions: Sequence[Action]) -> str:
    """Returns what would happen as text: commands as a shell takes them, and the files."""
    return "\n".join(_render(action) for action in actions)


def _render(action: Action) -> str:
    match action:
        case Write(path, text):
            return f"# {path} holds:\n" + "".join(f"  | {line}\n" for line in text.splitlines())
        case Run(argv, once):
            return ("# once\n" if once else "") + shlex.join(argv) + "\n"
        case Attempts(commands, parallel, inside):
            shown = ""
            for name, argv in commands.items():
                shown += f"{shlex.join(argv)}\n"
                if name in inside:
                    shown += "# which goes through, where all is well:\n"
                    shown += "".join(f"#   {shlex.join(step)}\n" for step in inside[name])
            return f"# {parallel} at a time, each again by its exit code (docs/launching.md)\n{shown}"
