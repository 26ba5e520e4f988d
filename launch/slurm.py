"""On Slurm: an array of jobs, one a member; a job whose member has to go on puts itself back into the queue."""

import dataclasses
import re
import shlex
import subprocess
from collections.abc import Sequence

from launch import attempts
from launch.actions import Action, Run, Write
from launch.journal import note, read_journal
from launch.launching import ROOT, Launch, require_program, run
from launch.members import Member
from launch.options import BackendOptions, option
from toto_jax.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Options(BackendOptions):
    """Flags of --backend=slurm."""

    nodes: int = option(1, "Nodes of each member.")
    tasks_per_node: int = option(1, "Processes on each node.")
    time: str = option("1-00:00:00", "Limit of a job; a member that needs longer goes on in the next one.")
    sbatch: str = option("", "More options of sbatch, as one string: '--partition=gpu --gpus-per-node=8'.")
    setup: str = option(
        "",
        "Shell line run before an attempt, in its shell (TPU VMs: on each worker): 'source venv/bin/activate'.",
    )
    python: str = option("python3", "What Python is called where the run is.")

    def __post_init__(self) -> None:
        if self.nodes < 1 or self.tasks_per_node < 1:
            raise ConfigError(f"--nodes={self.nodes} --tasks_per_node={self.tasks_per_node}: at least 1 each")
        others = [word for word in shlex.split(self.sbatch) if not word.startswith("--")]
        if others:
            raise ConfigError(f"--sbatch: {others[0]!r} is no option; write each as --name=value")


def get_ready(launch: Launch) -> None:
    """Checks that jobs can be submitted, and that none of this launch is in the queue.

    Raises:
      ConfigError: if they can't, or some are.
    """
    require_program("sbatch")
    waiting = states(launch)
    if waiting:
        raise ConfigError(
            f"{len(waiting)} member(s) are in the queue as job {_job(launch)}: {', '.join(waiting)}. They go on by "
            "themselves; see python -m launch.status, or take them back with launch.stop"
        )


def plan(launch: Launch) -> list[Action]:
    """Returns the job's text and its submission, for members that are neither done nor diverged."""
    left = [
        index for index, member in enumerate(launch.members) if not attempts.is_settled(launch.folder(member))
    ]
    if not left:
        return []
    actions: list[Action] = []
    if launch.prepare:
        path = launch.workdir / "prepare.sh"
        python = launch.options.python
        commands = [(python, *argv[1:]) if argv[0] == "python" else argv for argv in launch.prepare]
        lines = [f"{shlex.join(('srun', *argv))} || exit" for argv in commands]
        actions += [
            Write(
                path,
                _script(
                    launch,
                    f"{launch.name}-prepare",
                    ["--nodes=1", "--ntasks-per-node=1"],
                    "prepare-%j",
                    lines,
                ),
            ),
            Run(("sbatch", "--wait", str(path)), once=True),
        ]
    script = launch.workdir / "job.sh"
    array = f"--array={','.join(map(str, left))}%{launch.parallel}"
    size = [f"--nodes={launch.options.nodes}", f"--ntasks-per-node={launch.options.tasks_per_node}"]
    text = _script(launch, launch.name, [*size, array], "slurm-%A-%a", _member_lines(launch))
    stop = str(launch.workdir / "STOP")
    ready = [Run(("mkdir", "-p", str(launch.workdir / "logs"))), Run(("rm", "-f", stop))]
    return [*ready, *actions, Write(script, text), Run(("sbatch", "--parsable", str(script)))]


# Since 22.05 srun doesn't take it over from sbatch.
_CPUS = 'if [ -n "${SLURM_CPUS_PER_TASK:-}" ]; then export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"; fi'


def _script(launch: Launch, name: str, more: Sequence[str], log: str, lines: Sequence[str]) -> str:
    options = launch.options
    given = [
        f"--job-name={name}",
        *more,
        f"--time={options.time}",
        "--requeue",
        f"--signal=TERM@{launch.grace_seconds:.0f}",
        "--open-mode=append",
        f"--chdir={ROOT}",
        f"--output={launch.workdir / 'logs' / log}.log",
        *shlex.split(options.sbatch),
    ]
    setup = [options.setup] if options.setup else []
    header = ["#!/bin/bash", *(f"#SBATCH {shlex.quote(word)}" for word in given)]
    return "\n".join([*header, _CPUS, *setup, *lines]) + "\n"


def _member_lines(launch: Launch) -> list[str]:
    """Returns the shell lines that find the job's member and run one attempt of it."""
    python = launch.options.python

    def array(name: str, values: Sequence[object]) -> str:
        return f"{name}=({' '.join(shlex.quote(str(value)) for value in values)})"

    # Shell variables stand for what differs; they can't be quoted by shlex.
    member = Member("MEMBER", "FOLDER", "")
    command = [
        *("srun", f"--wait={launch.grace_seconds:.0f}"),
        *launch.training(member, python, config="CONFIG"),
    ]
    attempt = (python, *launch.attempt(member, ["--nohand_on"], command)[1:])
    words = shlex.join(attempt)
    folder = str(launch.workdir / "FOLDER")
    words = words.replace(shlex.quote(f"--folder={folder}"), '--folder="$folder"')
    words = words.replace(shlex.quote(f"--workdir={folder}"), '--workdir="$folder"')
    words = words.replace("configs/resolved.py:CONFIG", 'configs/resolved.py:"$config"')
    return [
        array("folders", [launch.folder(member) for member in launch.members]),
        array("configs", [launch.workdir / member.config_file for member in launch.members]),
        'folder="${folders[$SLURM_ARRAY_TASK_ID]}"',
        'config="${configs[$SLURM_ARRAY_TASK_ID]}"',
        f"bash launch/run.sh {shlex.quote(str(launch.workdir / 'STOP'))} {words}",
    ]


def _job(launch: Launch) -> str | None:
    """Returns the id of the array that was submitted last."""
    script = str(launch.workdir / "job.sh")
    for line in reversed(read_journal(launch.workdir)):
        if line["action"] == "run" and line["argv"] == ["sbatch", "--parsable", script] and line["code"] == 0:
            return re.match(r"\d+", line["output"]).group()  # "17" or "17;cluster"
    return None


def states(launch: Launch) -> dict[str, str]:
    """Returns a word on each member that is in the queue: "queued", "running" or Slurm's own.

    Raises:
      ConfigError: if Slurm isn't installed here.
    """
    job = _job(launch)
    if job is None:
        return {}
    require_program("squeue")
    argv = ["squeue", "--noheader", "--array", f"--jobs={job}", "--format=%K %T"]
    # A job that ended a while ago is an error to squeue, and has no member in the queue.
    listed = subprocess.run(argv, capture_output=True, text=True, check=False).stdout.splitlines()
    words = {"PENDING": "queued", "RUNNING": "running"}
    found = dict(line.split() for line in listed if line.strip())
    return {
        member.name: words.get(found[str(index)], found[str(index)].lower())
        for index, member in enumerate(launch.members)
        if str(index) in found
    }


def stop(launch: Launch) -> list[str]:
    """Takes back what waits, and has what runs save and end. Returns the members that were in the queue."""
    found, job = states(launch), _job(launch)
    if found:
        (launch.workdir / "STOP").touch()  # jobs that find it don't go back into the queue
        for argv in (("--state=PENDING",), ("--state=RUNNING", "--signal=TERM")):
            run(launch.workdir, ("scancel", *argv, str(job)), lambda line: None)
        note(launch.workdir, "stop", job=job)
    return list(found)
