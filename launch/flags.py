"""The flags of launch.run and launch.sweep: those of all backends are made from the backends' `Options`."""

import dataclasses
import pathlib
from typing import Any

from absl import flags

from launch.launching import BACKENDS, ROOT, Launch, backend_module
from launch.members import Expanded
from launch.options import BackendOptions
from launch.retry import Budgets
from toto_jax.errors import ConfigError

_DEFINE = {
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_bool,
    str: flags.DEFINE_string,
}

_BACKEND = flags.DEFINE_string("backend", None, f"Where: {', '.join(BACKENDS)}.", required=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run, or of the sweep.", required=True)
_NAME = flags.DEFINE_string("name", None, "What schedulers call it; by default from the file's name.")
_PREEMPTIONS = flags.DEFINE_integer(
    "preemptions", -1, "Restarts of a member after preemptions; -1 for no bound."
)
_FAILURES = flags.DEFINE_integer("failures", 3, "Restarts of a member after failures.")
_GRACE = flags.DEFINE_float("grace_seconds", 120.0, "That a member has to save when it is told to stop.")
DRY_RUN = flags.DEFINE_bool("dry_run", False, "Print commands and files; do nothing.")


def _options_of() -> dict[str, dict[str, dataclasses.Field[Any]]]:
    return {
        name: {field.name: field for field in dataclasses.fields(backend_module(name).Options)}
        for name in BACKENDS
    }


def define_backend_flags() -> None:
    """Defines a flag for each option of each backend; one that several have in common is one flag."""
    known = _options_of()
    for fields in known.values():
        for name, field in fields.items():
            if name not in flags.FLAGS:
                backends = ", ".join(backend for backend, others in known.items() if name in others)
                _DEFINE[type(field.default)](name, field.default, f"{backends}: {field.metadata['help']}")


def options_from_flags() -> BackendOptions:
    """Returns the options of the backend that --backend names.

    Raises:
      ConfigError: if there is no such backend, a flag is given that it hasn't, or its options can't be.
    """
    backend = _BACKEND.value
    module, known = backend_module(backend), _options_of()
    for name in {name for fields in known.values() for name in fields} - set(known[backend]):
        if flags.FLAGS[name].present:
            others = " or ".join(other for other, fields in known.items() if name in fields)
            raise ConfigError(f"--{name} belongs to --backend={others}, not to {backend}")
    return module.Options(**{name: flags.FLAGS[name].value for name in known[backend]})


def launch_from_flags(options: BackendOptions, expanded: Expanded, parallel: int) -> Launch:
    """Returns the launch that the flags describe.

    Args:
      options: of the backend.
      expanded: what is launched.
      parallel: members at once.

    Raises:
      ConfigError: if --parallel, --preemptions or --failures can't be.
    """
    if parallel < 1:
        raise ConfigError(f"--parallel={parallel}: at least 1")
    return Launch(
        workdir=workdir(),
        name=_NAME.value or expanded.name,
        backend=_BACKEND.value,
        options=options,
        members=expanded.members,
        prepare=expanded.prepare,
        parallel=parallel,
        budgets=Budgets(_PREEMPTIONS.value, _FAILURES.value),
        grace_seconds=_GRACE.value,
    )


def workdir() -> pathlib.Path:
    """Returns --workdir as an absolute path: commands run in the repository's root, wherever this one was typed."""
    path = pathlib.Path(_WORKDIR.value)
    if "://" in _WORKDIR.value:
        raise ConfigError(f"--workdir={path} is a URL; mount it and give the folder (docs/storage.md)")
    return path.absolute() if path.is_absolute() else ROOT / path
