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
from launch.tpu_commands import GO, NOT_BEGUN, RECREATE, WAIT, ConnectionLost, Node, explain
from toto_jax.errors import JobError, Preempted, TotoError

_CODE = re.compile(rb"launch: exit code (\d+)")
_NOT_BEGUN = re.compile(rf"{NOT_BEGUN} \d+".encode())

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
_PATIENCE = flags.DEFINE_float("patience_seconds", 600.0, "For which gcloud, or ssh to the node, may fail.")


class Attempt:
    """A node, from nothing to the end of the training.

    Args:
      node: which.
      poll: seconds between looks at it.
      patience: seconds for which gcloud, or ssh to the node, may fail.
      say: takes lines for people.
    """

    def __init__(self, node: Node, poll: float, patience: float, say: Callable[[str], None]):
        self.node, self._poll, self._patience, self._say = node, poll, patience, say
        self.stopping = False
        self._seen: str | None = ""

    def request_stop(self, number: int, frame: FrameType | None) -> None:
        """Takes a signal."""
        del number, frame
        self.stopping = True

    def bring_up(self) -> None:
        """Returns when the node is there and can be reached.

        Raises:
          ConfigError: if there won't be one.
          JobError: if gcloud or ssh has failed for longer than the patience.
          Preempted: if this is told to stop meanwhile.
        """
        failing_since = None
        while not self.stopping:
            try:
                if self._step():
                    return
                failing_since = None
            except Preempted as error:
                self._say(str(error))  # capacity comes when it comes
            except JobError as error:
                self._say(str(error))
                failing_since = failing_since or time.monotonic()
                if time.monotonic() - failing_since > self._patience:
                    raise
            time.sleep(self._poll)
        raise Preempted("Told to stop before the node was there")

    def _step(self) -> bool:
        """Does what the node's state asks for. Returns whether it is there and can be reached."""
        state = self.node.find()
        if state != self._seen:
            self._say(f"{self.node.name}: {state or 'not there'}")
            self._seen = state
        if state in GO:
            self._command(self.node.probe())
            return True
        if state is None:
            self._command(self.node.create())
        elif state in RECREATE:
            self._command(self.node.delete())
        elif state not in WAIT:
            raise JobError(f"{self.node.name} is in the state {state!r}, which is unknown here")
        return False

    def copy(self, command: Sequence[str]) -> None:
        """Copies the config.

        Raises:
          Preempted: if the node was lost.
          ConnectionLost: if it is there and ssh to it fails.
          TotoError: if the copy fails otherwise.
        """
        try:
            self._command(command)
        except TotoError as error:
            if self.node.find() not in GO:
                raise Preempted(f"{self.node.name} was lost") from error
            if isinstance(error, ConnectionLost):
                raise
            # Not Google Cloud's doing: it would go on for ever as a preemption.
            raise TotoError(str(error)) from error

    def train(self, command: Sequence[str]) -> int:
        """Runs the setup and the training, and returns the training's exit code; 1 if it couldn't begin."""
        codes, told, tell_at = [], False, 0.0
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        lines = Lines(process)
        while True:
            # While the setup is at work there is nobody to be told yet.
            if self.stopping and not told and time.monotonic() > tell_at:
                told = subprocess.run(self.node.stop(), check=False).returncode == 0
                tell_at = time.monotonic() + self._poll
            line = lines.next(seconds=0.5)
            if line == b"":
                break
            if line is not None:
                sys.stdout.buffer.write(line)
                sys.stdout.flush()
                codes += [int(code) for code in _CODE.findall(line)]
                codes += [TotoError.exit_code] * len(_NOT_BEGUN.findall(line))
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
            raise explain(self.node, done.stderr, done.returncode)


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
    attempt = Attempt(node, _POLL.value, _PATIENCE.value, lambda line: print(line, flush=True))
    signal.signal(signal.SIGTERM, attempt.request_stop)
    try:
        attempt.bring_up()
        copy, training = node.passage(_SETUP.value, _FOLDER.value, pathlib.Path(_CONFIG.value), argv[1:])
        attempt.copy(copy)
        code = attempt.train(training)
        if code == 0 or code in FINAL:
            attempt.delete()
    except TotoError as error:
        print(f"\n{type(error).__name__}: {error}", flush=True)
        code = error.exit_code
    sys.exit(code)


if __name__ == "__main__":
    app.run(main)
