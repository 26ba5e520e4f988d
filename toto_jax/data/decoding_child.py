"""A child process of `decoding.Decoders`: takes requests from a connection, and answers with clips.

python -m toto_jax.data.decoding_child CONNECTION PARENT BYTES
"""

import contextlib
import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

from toto_jax.data.clip_cutting import Clip, cut_clips
from toto_jax.data.decoding import DecoderLost, Request
from toto_jax.errors import ConfigError, DataError

_PR_SET_PDEATHSIG = 1


def serve(connection: Connection, cut: Callable[[Request], Iterator[Clip]]) -> None:
    """Answers requests until the other end is closed: each with clips, then None or the error that ended them."""
    while True:
        try:
            request = connection.recv()
        except EOFError:
            return
        try:
            for clip in cut(request):
                connection.send(clip)
            answer = None
        except (ConfigError, DataError, MemoryError) as error:
            answer = _out_of_memory(request) if _lacked_memory(error) else error
        except Exception as error:  # a file has made a library fail in a way that nobody thought of
            answer = DataError(f"{_name(request)} made the decoder fail: {type(error).__name__}: {error}")
        connection.send(answer)


def limit(bytes_of_memory: int, parent: int) -> None:
    """Bounds this process's memory, and ends it when its parent dies, however that dies."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (bytes_of_memory, hard))
    with contextlib.suppress(OSError, AttributeError):  # of Linux; elsewhere the connection's end has to do
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def _lacked_memory(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, MemoryError):
        error = error.__cause__
    return error is not None


def _out_of_memory(request: Request) -> DecoderLost:
    return DecoderLost(f"{_name(request)} needs more memory than a decoder has (config.decoding.memory_gb)")


def _name(request: Request) -> str:
    return request.item.name.rpartition("/")[2]


def main(words: list[str]) -> None:
    connection, parent, bytes_of_memory = map(int, words)
    # A terminal's Ctrl-C reaches all processes; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limit(bytes_of_memory, parent)
    with Connection(connection) as theirs:
        serve(theirs, lambda request: cut_clips(request.item, request.label, request.clips, request.seed))


if __name__ == "__main__":
    main(sys.argv[1:])
