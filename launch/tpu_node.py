"""One attempt of a member on a TPU VM: has its node brought up, trains on it, and deletes it at the end.

`launch.attempt` runs it; --dry_run of a launch prints the gcloud commands that it goes through. It ends with the exit
code of the training, with 42 if the node was preempted, and with 64 if Google Cloud won't give one.
"""

import pathlib
import queue
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType

from absl import app, flags

from launch.retry import FINAL, worst
from launch.tpu_commands import GO, RECREATE, WAIT, Node, explain
from toto_jax.errors import JobError, Preempted, TotoError

_CODE = re.compile(rb"launch: exit code (\d+)")

_NODE = flags.DEFINE_string("node", None, "Name of the queued resource and its node.", required=True)
_ZONE = flags.DEFINE_string("zone", None, "Zone.", required=True)
_PROJECT = flags.DEFINE_string("project", "", "Google Cloud project; by default gcloud's own.")
_TYPE = flags.DEFINE_string("accelerator_type", None, "TPU type.", required=True)
_VERSION = flags.DEFINE_string("runtime_version", None, "Software of the node.", required=True)
_SPOT = flags.DEFINE_bool("spot", False, "A node that may be preempted.")
_GCLOUD = flags.DEFINE_string("gcloud", "", "More flags for creating the node.")
_SETUP = flags.DEFINE_string("setup", "", "Shell line for each worker.")
_FOLDER = flags.DEFINE_string("code", None, "Folder of the repository on the workers.", required=True)
_CONFIG = flags.DEFINE_string("config", None, "The member's config, here.", required=True)
_POLL = flags.DEFINE_float("poll_seconds", 20.0, "Between looks at a node that is waited for.")


class Attempt:
    """A node, from nothing to the end of the training.

    Args:
      node: which.
      poll: seconds between looks at it.
      say: takes lines for people.
    """

    def __init__(self, node: Node, poll: float, say: Callable[[str], None]):
        self.node, self._poll, self._say = node, poll, say
        self.stopping = False

    def request_stop(self, number: int, frame: FrameType | None) -> None:
        """Takes a signal."""
        del number, frame
        self.stopping = True

    def bring_up(self) -> None:
        """Returns when the node is there.

        Raises:
          ConfigError: if there won't be one.
          JobError: if the request failed for now.
          Preempted: if this is told to stop meanwhile.
        """
        seen = ""
        while not self.stopping:
            state = self.node.find()
            if state != seen:
                self._say(f"{self.node.name}: {state or 'not there'}")
                seen = state
            if state in GO:
                return
            if state is None:
                self._command(self.node.create())
            elif state in RECREATE:
                self._command(self.node.delete())
            elif state not in WAIT:
                raise JobError(f"{self.node.name} is in the state {state!r}, which is unknown here")
            time.sleep(self._poll)
        raise Preempted("Told to stop before the node was there")

    def train(self, commands: Sequence[Sequence[str]]) -> int:
        """Runs what is to be run on the node, the last of which trains, and returns its exit code."""
        for command in commands[:-1]:
            try:
                self._command(command)
            except TotoError as error:
                if self.node.find() not in GO:
                    raise Preempted(f"{self.node.name} was lost") from error
                # Not Google Cloud's doing: it would go on for ever as a preemption.
                raise TotoError(str(error)) from error
        codes, told = [], False
        process = subprocess.Popen(commands[-1], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        lines = Lines(process)
        while True:
            if self.stopping and not told:
                told = True
                subprocess.run(self.node.stop(), check=False)
            line = lines.next(seconds=0.5)
            if line == b"":
                break
            if line is not None:
                sys.stdout.buffer.write(line)
                sys.stdout.flush()
                codes += [int(code) for code in _CODE.findall(line)]
        status = process.wait()
        # A worker that doesn't say how it ended has lost its connection.
        if status == 0 or worst([0, *codes]):
            return worst([0, *codes])
        state = self.node.find()
        self._say(f"{self.node.name}: the connection ended with {status}; the node is {state or 'gone'}")
        return JobError.exit_code if state in GO else Preempted.exit_code

    def delete(self) -> None:
        """Deletes the node."""
        self._command(self.node.delete())

    def _command(self, argv: Sequence[str]) -> None:
        self._say(shlex.join(argv))
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        self._say((done.stdout + done.stderr).rstrip())
        if done.returncode:
            raise explain(self.node, done.stderr)


class Lines:
    """Lines of a process, waited for so long and no longer."""

    def __init__(self, process: subprocess.Popen[bytes]):
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._stream = process.stdout
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._stream:
            self._lines.put(line)
        self._lines.put(b"")

    def next(self, seconds: float) -> bytes | None:
        """Returns a line, nothing (b"") at the end, or None if none came in time."""
        try:
            return self._lines.get(timeout=seconds)
        except queue.Empty:
            return None


def main(argv: list[str]) -> None:
    node = Node(
        _NODE.value, _ZONE.value, _PROJECT.value, _TYPE.value, _VERSION.value, _SPOT.value,
        tuple(shlex.split(_GCLOUD.value)),
    )  # fmt: skip
    attempt = Attempt(node, _POLL.value, lambda line: print(line, flush=True))
    signal.signal(signal.SIGTERM, attempt.request_stop)
    try:
        attempt.bring_up()
        code = attempt.train(node.passage(_SETUP.value, _FOLDER.value, pathlib.Path(_CONFIG.value), argv[1:]))
        if code == 0 or code in FINAL:
            attempt.delete()
    except TotoError as error:
        print(f"\n{type(error).__name__}: {error}", flush=True)
        code = error.exit_code
    sys.exit(code)


if __name__ == "__main__":
    app.run(main)
