"""A launch: what, where and how; kept in its workdir so that status, stop and resume need nothing but that."""

import dataclasses
import importlib
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import types
from collections.abc import Callable, Mapping, Sequence

from launch import attempts
from launch.actions import Action, Attempts, Run, Write, render
from launch.journal import note, read_journal, write_whole
from launch.members import SWEEP, Member, check_same, load_members, store_members
from launch.options import BackendOptions
from launch.retry import Budgets
from launch.supervisor import supervise
from toto_jax.config import section
from toto_jax.errors import ConfigError, TotoError, nearest

ROOT = pathlib.Path(__file__).resolve().parents[1]
BACKENDS = ("local", "slurm", "tpu_vm", "gke")
_FILE = "launch.json"


@dataclasses.dataclass(frozen=True)
class Launch:
    """Attributes:
    workdir: absolute path of the launch's folder.
    name: what schedulers call it.
    backend: one of BACKENDS.
    options: the backend's own, an instance of its module's `Options`.
    members: what runs.
    prepare: commands that run once before.
    parallel: members at once.
    budgets: for restarts.
    grace_seconds: that a member has to save when it is told to stop.
    """

    workdir: pathlib.Path
    name: str
    backend: str
    options: BackendOptions
    members: tuple[Member, ...]
    prepare: tuple[tuple[str, ...], ...]
    parallel: int
    budgets: Budgets
    grace_seconds: float

    def folder(self, member: Member) -> pathlib.Path:
        """Returns a member's own workdir."""
        return self.workdir / member.folder

    def training(self, member: Member, python: str, config: str = "") -> tuple[str, ...]:
        """Returns the command that trains a member.

        Args:
          member: which.
          python: what Python is called where it runs.
          config: path of the resolved config there; by default as here.
        """
        folder = self.options.workdir_there(self.workdir)
        return (
            python, "-m", "toto_jax.main",
            f"--config=configs/resolved.py:{config or self.workdir / member.config_file}",
            f"--workdir={folder / member.folder}",
        )  # fmt: skip

    def attempt(self, member: Member, flags: Sequence[str], command: Sequence[str]) -> tuple[str, ...]:
        """Returns the command that runs one attempt of a member from this machine.

        Args:
          member: which.
          flags: more flags of launch.attempt.
          command: what its processes run.
        """
        bounds = (
            f"--grace_seconds={self.grace_seconds:g}", f"--preemptions={self.budgets.preemptions}",
            f"--failures={self.budgets.failures}",
        )  # fmt: skip
        folder = f"--folder={self.folder(member)}"
        return (sys.executable, "-m", "launch.attempt", folder, *bounds, *flags, "--", *command)

    def save(self) -> None:
        """Writes launch.json."""
        values = {
            **{
                name: getattr(self, name)
                for name in ("name", "backend", "prepare", "parallel", "grace_seconds")
            },
            "options": dataclasses.asdict(self.options),
            "budgets": dataclasses.asdict(self.budgets),
        }
        write_whole(self.workdir / _FILE, json.dumps(values, indent=2) + "\n")


def backend_module(name: str) -> types.ModuleType:
    """Returns the module of a backend: its `Options` (BackendOptions), `get_ready`, `plan`, `stop` and `states`.

    Raises:
      ConfigError: if there is no such backend.
    """
    if name not in BACKENDS:
        raise ConfigError(f"--backend={name} is unknown; {nearest(name, BACKENDS)}")
    return importlib.import_module(f"launch.{name}")


def load_launch(workdir: pathlib.Path) -> Launch:
    """Returns what was launched in a workdir.

    Raises:
      ConfigError: if nothing was.
    """
    members = load_members(workdir)
    values = json.loads((workdir / _FILE).read_text())
    options = section(backend_module(values["backend"]).Options, values.pop("options"), "options")
    prepare = tuple(map(tuple, values.pop("prepare")))
    budgets = Budgets(**values.pop("budgets"))
    return Launch(workdir, options=options, members=members, prepare=prepare, budgets=budgets, **values)


def check_configs(launch: Launch) -> None:
    """Checks all configs in a process of its own.

    Raises:
      ConfigError: with what is wrong with which member.
    """
    configs = json.dumps({member.name: member.config for member in launch.members})
    # On the CPU: it must not take a device from a run that is at work.
    done = subprocess.run(
        [sys.executable, "-m", "launch.check"],
        input=configs,
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == ConfigError.exit_code:
        raise ConfigError(f"These members can't run:\n{done.stdout.rstrip()}")
    if done.returncode:
        raise TotoError(
            f"Checking the configs ended with exit code {done.returncode}:\n{done.stderr[-3000:]}"
        )


def start(launch: Launch, dry_run: bool, say: Callable[[str], None] = print) -> int:
    """Plans a launch and does it, or only says what would be done.

    Returns:
      An exit code: 0 if all that this waits for went well.

    Raises:
      ConfigError: if the workdir holds another launch, or the plan can't be.
    """
    check_same(launch.workdir, launch.members)
    module = backend_module(launch.backend)
    check_configs(launch)
    if dry_run:
        lines = "".join(member.line() for member in launch.members)
        say(f"# {launch.workdir / 'configs'} holds the whole config of each member, as it was checked\n")
        say(render([Write(launch.workdir / SWEEP, lines), *module.plan(launch)]))
        return 0
    if (launch.workdir / _FILE).exists():
        before = load_launch(launch.workdir)
        if before.backend != launch.backend:
            raise ConfigError(
                f"{launch.workdir} was launched with --backend={before.backend}; give that, or another --workdir"
            )
    module.plan(launch)  # its errors come before anything is written
    module.get_ready(launch)
    store_members(launch.workdir, launch.members)
    launch.save()
    begin_anew(launch)
    actions = module.plan(launch)
    if not actions:
        say("All members are done or have diverged")
    return execute(launch, actions, say)


def begin_anew(launch: Launch) -> None:
    """Gives the members that are to be started their budgets anew: somebody has looked at them and launches again."""
    for member in launch.members:
        folder = launch.folder(member)
        if not attempts.is_settled(folder) and not attempts.runs(folder):
            attempts.forgive(folder)


def execute(launch: Launch, actions: Sequence[Action], say: Callable[[str], None]) -> int:
    """Does what a plan says and journals it. Returns an exit code."""
    code = 0
    for action in actions:
        match action:
            case Write(path, text):
                write_whole(path, text)
                note(launch.workdir, "write", path=str(path))
            case Run(argv, once):
                if not (once and _was_run(launch.workdir, argv)):
                    run(launch.workdir, argv, say)
            case Attempts():
                code = supervise(launch, action, say)
    return code


def _was_run(workdir: pathlib.Path, argv: Sequence[str]) -> bool:
    return any(
        line["action"] == "run" and line["argv"] == list(argv) and line["code"] == 0
        for line in read_journal(workdir)
    )


def run(workdir: pathlib.Path, argv: Sequence[str], say: Callable[[str], None]) -> str:
    """Runs a command to its end, with a log and a line in the journal, and returns what it printed.

    Raises:
      ConfigError: if the program isn't installed.
      TotoError: if it fails, with what it said last.
    """
    require_program(argv[0])
    logs = workdir / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    path = logs / f"command-{len(list(logs.glob('command-*.log'))) + 1:03}.log"
    say(f"{shlex.join(argv)}\n  its log is {path}")
    with path.open("wb") as log:
        done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
    output = path.read_text(errors="replace")
    note(workdir, "run", argv=list(argv), code=done.returncode, output=output[-500:])
    if done.returncode:
        raise TotoError(f"{argv[0]} ended with exit code {done.returncode}; {path} ends:\n{output[-2000:]}")
    return output


def refuse_preparation(launch: Launch, prepared: bool) -> None:
    """Raises:
    ConfigError: if a sweep has a preparation, which a cloud's launch doesn't run, and nobody says that it was.
    """
    if launch.prepare and not prepared:
        commands = "\n  ".join(map(shlex.join, launch.prepare))
        raise ConfigError(
            f"The sweep wants a preparation, which --backend={launch.backend} doesn't run. Run it on a machine that "
            f"sees the members' workdir, and give --prepared then:\n  {commands}"
        )


_PROGRAMS: Mapping[str, str] = {
    "sbatch": "Slurm; run this where jobs are submitted",
    "squeue": "Slurm; run this where jobs are submitted",
    "scancel": "Slurm; run this where jobs are submitted",
    "gcloud": "the Google Cloud CLI; cloud.google.com/sdk says how to install it",
    "kubectl": "Kubernetes' command line; gcloud components install kubectl",
}


def require_program(name: str) -> None:
    """Raises:
    ConfigError: if a program isn't on PATH, with what it belongs to.
    """
    if shutil.which(name) is None:
        belongs = f": it belongs to {_PROGRAMS[name]}" if name in _PROGRAMS else ""
        raise ConfigError(f"The program {name!r} is not on PATH{belongs}")
