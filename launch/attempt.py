"""One attempt of one member: starts its processes, keeps their logs, and writes down how they ended.

  python -m launch.attempt --folder=runs/sweep/a --processes=2 --devices=4 -- python -m toto_jax.main ...

It outlives the launcher that started it. Several processes find each other over loopback. SIGTERM is handed on to them,
so that they save. It ends with their exit code, or with 42 where the member is to be started again.
"""

import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from types import FrameType

from absl import app, flags

from launch import attempts, locks
from launch.progress import read_progress
from launch.retry import Budgets, judge, worst
from toto_jax.errors import ConfigError, Preempted

_FOLDER = flags.DEFINE_string("folder", None, "Workdir of the member.", required=True)
_PROCESSES = flags.DEFINE_integer("processes", 1, "How many, on this machine.", lower_bound=1)
_DEVICES = flags.DEFINE_integer("devices", 0, "Fake CPU devices of each process; 0 for what is there.")
_GRACE = flags.DEFINE_float("grace_seconds", 120.0, "To end in, when one has failed or all are told to stop.")
_PREEMPTIONS = flags.DEFINE_integer("preemptions", -1, "Restarts after preemptions; -1 for no bound.")
_FAILURES = flags.DEFINE_integer("failures", 3, "Restarts after failures.")
_HAND_ON = flags.DEFINE_bool("hand_on", True, "Hand SIGTERM on; Slurm tells its tasks itself.")

_SEES = flags.DEFINE_bool(
    "sees_workdir", True, "Whether the run's log is in --folder; on TPU VMs it may be elsewhere."
)

BUSY = 75  # another attempt of the member runs
_TASK = re.compile(r"^srun: error: .*: Exited with exit code (\d+)\s*$", re.MULTILINE)


class Processes:
    """The processes of an attempt.

    Args:
      argv: what each runs.
      held: file descriptor of the member's lock: as long as any of them lives, no other attempt can begin.
      logs: folder for what they say.
      variables: what each finds in its environment besides what is there.
    """

    def __init__(
        self, argv: Sequence[str], held: int, logs: pathlib.Path, variables: Sequence[Mapping[str, str]]
    ):
        self.running = []
        for index, more in enumerate(variables):
            with (logs / f"process-{index}.log").open("ab") as log:
                process = subprocess.Popen(
                    argv,
                    env={**os.environ, **more},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=[held],
                    # What it starts itself is killed with its group; signals go to it alone.
                    start_new_session=True,
                )
            self.running.append(process)

    def wait(self, asked: Sequence[int], hand_on: bool, grace: float) -> list[int]:
        """Waits for all, and returns the exit codes of those that were not killed by this.

        Args:
          asked: grows when this process is asked to stop.
          hand_on: whether they are told then.
          grace: seconds that they have after one of them failed or all were told.
        """
        deadline, told, killed = None, False, set()
        while any(process.poll() is None for process in self.running):
            if asked and hand_on and not told:
                told = True
                self._tell(signal.SIGTERM)
            if deadline is None and (told or any(process.poll() for process in self.running)):
                deadline = time.monotonic() + grace
            if deadline is not None and time.monotonic() > deadline:
                killed |= {process for process in self.running if process.poll() is None}
                self._tell(signal.SIGKILL)
            time.sleep(0.05)
        for process in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        counted = [process for process in self.running if process not in killed] or self.running
        codes = [
            128 - process.returncode if process.returncode < 0 else process.returncode for process in counted
        ]
        # Told to stop before it could listen: there was nothing to save.
        return [Preempted.exit_code if told and code == 128 + signal.SIGTERM else code for code in codes]

    def _tell(self, number: int) -> None:
        for process in self.running:
            if process.poll() is None:
                process.send_signal(number)


def environments(processes: int, devices: int) -> list[dict[str, str]]:
    """Returns what each process finds in its environment besides what is there."""
    common = {}
    if devices:
        mine = f"--xla_force_host_platform_device_count={devices}"
        common = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {mine}".strip()}
    if processes == 1:
        return [common]
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
    place = {"JAX_COORDINATOR_ADDRESS": f"localhost:{port}", "JAX_NUM_PROCESSES": str(processes)}
    return [{**common, **place, "JAX_PROCESS_ID": str(index)} for index in range(processes)]


def task_codes(log: pathlib.Path) -> list[int]:
    """Returns what srun says of its tasks' exit codes: its own is the highest, in which a final one may be hidden."""
    return [int(code) for code in _TASK.findall(log.read_text(errors="replace"))]


def run_attempt(folder: pathlib.Path, argv: list[str]) -> int:
    """Runs the attempt and returns its exit code; 42 if the member is to be started again."""
    asked: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        asked.append(number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    held = locks.hold(attempts.lock_of(folder))
    if held is None:
        print(f"Another attempt of {folder} is still running", file=sys.stderr)
        return BUSY
    logs = attempts.begin(folder)
    try:
        processes = Processes(argv, held, logs, environments(_PROCESSES.value, _DEVICES.value))
    except FileNotFoundError:
        (logs / "process-0.log").write_text(f"There is no program {argv[0]!r} on this machine\n")
        attempts.end(folder, logs, ConfigError.exit_code, None)
        return ConfigError.exit_code
    locks.sign(held, [process.pid for process in processes.running])
    codes = processes.wait(asked, _HAND_ON.value, _GRACE.value)
    code = worst([*codes, *(task_codes(logs / "process-0.log") if argv[0] == "srun" else [])])
    progress = read_progress(folder) if _SEES.value else None
    attempts.end(folder, logs, code, progress.step if progress else None)
    verdict = judge(attempts.history(folder), Budgets(_PREEMPTIONS.value, _FAILURES.value))
    return Preempted.exit_code if verdict.again else code


def main(argv: list[str]) -> None:
    if len(argv) < 2:
        raise app.UsageError("What is to be run? Give the command behind --")
    sys.exit(run_attempt(pathlib.Path(_FOLDER.value), argv[1:]))


if __name__ == "__main__":
    app.run(main)
