"""Inputs are cut into clips by child processes with limits: one that crashes, hangs or swells costs its input.

Decoders are large C libraries that read files from anywhere. A child holds no model and no JAX, takes one input after
the other, and sends each clip as soon as it is cut.
"""

import contextlib
import dataclasses
import multiprocessing
import os
import pathlib
import subprocess
import sys
import threading
from collections.abc import Iterator

from toto_jax.data.clip_cutting import Clip
from toto_jax.data.clips import ClipsConfig
from toto_jax.data.media import MediaItem
from toto_jax.errors import ConfigError, DataError

_ROOT = str(pathlib.Path(__file__).resolve().parents[2])
# How long a fresh child may take to import its libraries, on a busy machine with a network file system.
_START_SECONDS = 120.0
# The same package as here, whatever the current folder is; and no pools of threads that claim addresses.
_ENVIRONMENT = {
    "PYTHONPATH": os.pathsep.join(filter(None, [_ROOT, os.environ.get("PYTHONPATH")])),
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "GLIBC_TUNABLES": "",  # unlike a training, a decoder gives memory back
}


@dataclasses.dataclass(frozen=True)
class DecodingConfig:
    """`config.decoding`; configs/default.py says what each key means.

    Raises:
      ConfigError: on a value that can't be.
    """

    processes: int
    memory_gb: float
    seconds: float
    buffer_gb: float

    def __post_init__(self) -> None:
        if self.processes < 0:
            raise ConfigError(
                f"config.decoding.processes={self.processes}: give 0 for one a core, or how many"
            )
        for name in ("memory_gb", "seconds", "buffer_gb"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"config.decoding.{name} must be above 0, not {getattr(self, name)!r}")

    @property
    def children(self) -> int:
        """How many child processes there are."""
        return self.processes or len(os.sched_getaffinity(0))

    @property
    def patience(self) -> float:
        """Seconds after which an input has given its next clip or is given up, after a second try in a fresh child."""
        return 2 * (self.seconds + _START_SECONDS)


class DecoderLost(DataError):
    """A decoder crashed or ran out of memory over an input; what it is worth afterwards nobody knows."""


@dataclasses.dataclass(frozen=True)
class Request:
    """What a child is asked to do: `clip_cutting.cut_clips` with these arguments."""

    item: MediaItem
    label: int | None
    clips: ClipsConfig
    seed: int


class Decoders:
    """Child processes, one for each thread that calls; `close` ends them all.

    Args:
      config: their limits.
    """

    def __init__(self, config: DecodingConfig):
        self._config = config
        self._own = threading.local()
        self._children: set[_Child] = set()
        self._lock = threading.Lock()
        self._closed = False

    def clips(self, request: Request) -> Iterator[Clip]:
        """Yields the clips of an input, in this thread's child.

        Raises:
          DataError: if the input can't be used, or the child was lost over it; the next input gets a fresh one.
        """
        # An input is not to be judged by what its child went through before: a second child has the last word.
        for fresh in (False, True):
            begun = False
            try:
                for clip in self._clips(request):
                    begun = True
                    yield clip
                return
            except DecoderLost:
                if begun or fresh or self._closed:
                    raise

    def _clips(self, request: Request) -> Iterator[Clip]:
        child = getattr(self._own, "child", None) or self._start()
        try:
            yield from child.clips(request, self._config)
        except DecoderLost:
            child.busy = True
            raise
        finally:
            if child.busy:
                self._drop(child)

    def close(self) -> None:
        """Ends all children at once; threads that wait for one get a DataError."""
        with self._lock:
            self._closed = True
            children = list(self._children)
        for child in children:
            child.kill()

    def _start(self) -> "_Child":
        child = _Child(self._config)
        with self._lock:
            self._children.add(child)
            closed = self._closed
        if closed:
            child.kill()
        self._own.child = child
        return child

    def _drop(self, child: "_Child") -> None:
        self._own.child = None
        child.kill()
        child.hang_up()
        with self._lock:
            self._children.discard(child)


class _Child:
    """One process of `decoding_child`, and the connection to it."""

    def __init__(self, config: DecodingConfig):
        self._connection, theirs = multiprocessing.Pipe()
        with contextlib.closing(theirs):
            command = [sys.executable, "-m", "toto_jax.data.decoding_child"]
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(os.getpid()), str(int(config.memory_gb * 2**30))],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=os.environ | _ENVIRONMENT,
            )
        self._fresh = True
        self.busy = False  # with an input: what it sends next would be of that one

    def clips(self, request: Request, config: DecodingConfig) -> Iterator[Clip]:
        """Yields clips as they come; raises what the child raised."""
        name = request.item.name.rpartition("/")[2]
        seconds = config.seconds + _START_SECONDS * self._fresh
        self._fresh, self.busy = False, True
        try:
            self._connection.send(request)
            while self._connection.poll(seconds):
                message, seconds = self._connection.recv(), config.seconds
                if isinstance(message, Clip):
                    yield message
                    continue
                self.busy = False
                if message is None:
                    return
                raise message
        except (EOFError, OSError):
            code = self._process.wait()
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            raise DecoderLost(f"{name} crashed the decoder ({how})") from None
        advice = ""
        if request.item.kind == "video" and not request.clips.every_seconds:
            advice = (
                "; a video is decoded whole before its first clip, so if it is a long one, config.clips.every_seconds "
                "(a clip from each stretch, in one pass) or more seconds would do"
            )
        raise DataError(
            f"{name} kept the decoder busy for config.decoding.seconds={config.seconds:g} without a clip{advice}"
        )

    def kill(self) -> None:
        """Ends the process, whatever it is doing; nothing if it has ended."""
        self._process.kill()
        self._process.wait()

    def hang_up(self) -> None:
        """Closes the connection; only for the thread that uses it."""
        self._connection.close()
