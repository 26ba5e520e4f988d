"""What the backends' flags have in common: each backend has a dataclass of them, `Options`."""

import dataclasses
import pathlib


def option(default: bool | int | float | str, meaning: str) -> dataclasses.Field:
    """Returns the field of a flag.

    Args:
      default: its value where it isn't given, of the flag's type.
      meaning: for --help.
    """
    return dataclasses.field(default=default, metadata={"help": meaning})


@dataclasses.dataclass(frozen=True)
class BackendOptions:
    """The root of the backends' `Options`."""

    def workdir_there(self, workdir: pathlib.Path) -> pathlib.Path:
        """Returns what members call the launch's workdir where they run.

        Args:
          workdir: what it is called here.
        """
        return workdir
