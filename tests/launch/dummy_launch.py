"""Launches of dummy trainers, as a module and as a process of its own that may be killed.

python -m tests.launch.dummy_launch WORKDIR PARALLEL NAME=CODES [NAME=CODES ...]
"""

import json
import pathlib
import sys

from launch.actions import Attempts
from launch.launching import Launch
from launch.local import Options
from launch.members import Member, store_members
from launch.retry import Budgets
from launch.supervisor import supervise

DUMMY = str(pathlib.Path(__file__).with_name("dummy_trainer.py"))


def dummy_launch(
    workdir: pathlib.Path, turns: dict[str, str], parallel: int, grace: float = 10.0, processes: int = 1
) -> tuple[Launch, Attempts]:
    """Returns a launch of members whose trainers end with the given codes in turn, and its attempts."""
    members = tuple(
        Member(name, name, json.dumps({"name": name, "train": {"steps": 100}}), {"name": name})
        for name in turns
    )
    store_members(workdir, members)
    launch = Launch(
        workdir, "dummy", "local", Options(processes), members, (), parallel, Budgets(-1, 3), grace
    )
    launch.save()
    flags = [f"--processes={processes}"]
    commands = {
        member.name: launch.attempt(
            member, flags, [sys.executable, DUMMY, str(launch.folder(member)), *turns[member.name].split()]
        )
        for member in members
    }
    return launch, Attempts(commands, parallel)


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[3:])
    sys.exit(supervise(*dummy_launch(pathlib.Path(sys.argv[1]), given, int(sys.argv[2])), print))
