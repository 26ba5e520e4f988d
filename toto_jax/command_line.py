"""What every command does around its work: the allocator, a compilation cache, errors as exit codes."""

import inspect
import os
import pathlib
import platform
import sys
from collections.abc import Callable

import jax
from absl import app, logging

from toto_jax.errors import TotoError

ALLOCATOR = "GLIBC_TUNABLES"
# Huge pages, and one heap for all threads from which nothing up to 4 GiB is mapped apart or 64 GiB given back.
KEPT_MEMORY = (
    "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1"
    f":glibc.malloc.mmap_threshold={2**32}:glibc.malloc.trim_threshold={2**36}"
)
# What a machine with a GPU or a TPU has.
_ACCELERATORS = ("nvidia[0-9]*", "accel[0-9]*", "vfio/[0-9]*", "kfd")


def run_command(command: Callable[[], None] | Callable[[list[str]], None]) -> None:
    """Runs a command line's work; a `TotoError` becomes one message and its exit code.

    Args:
      command: takes nothing, or the words that are no flags; where it takes none, a word is an error.
    """
    keep_memory()
    keep_compiled_programs()

    def main(argv: list[str]) -> None:
        takes_words = bool(inspect.signature(command).parameters)
        if len(argv) > 1 and not takes_words:
            raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
        logging.set_verbosity(logging.WARNING)
        try:
            command(*([argv[1:]] if takes_words else []))
        except TotoError as error:
            print(f"\n{type(error).__name__}: {error}", file=sys.stderr)
            sys.exit(error.exit_code)

    app.run(main)


def keep_compiled_programs() -> None:
    """Turns JAX's compilation cache on, in ~/.cache/toto_jax unless JAX_COMPILATION_CACHE_DIR says where."""
    if jax.config.jax_compilation_cache_dir is None:
        cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(cache / "toto_jax"))


def keep_memory() -> None:
    """Starts this process anew with glibc's allocator keeping a step's buffers, unless it is told otherwise already.

    glibc gives them back to the system after each step, and fetching them again page by page took up to a third of a
    CPU step's time. The setting is read when a process starts, hence the fresh start; process id, arguments and open
    files stay. Where accelerators compute, nothing is done; and anything in GLIBC_TUNABLES, even an empty string, keeps
    this from happening.
    """
    if platform.libc_ver()[0] == "glibc" and ALLOCATOR not in os.environ and _computes_on_cpu():
        os.environ[ALLOCATOR] = KEPT_MEMORY
        os.execv(sys.executable, sys.orig_argv)


def _computes_on_cpu() -> bool:
    """Returns whether JAX will find nothing but CPUs, as far as can be told before it is asked."""
    chosen = os.environ.get("JAX_PLATFORMS", "")
    if chosen:
        return chosen == "cpu"
    return not any(any(pathlib.Path("/dev").glob(pattern)) for pattern in _ACCELERATORS)
