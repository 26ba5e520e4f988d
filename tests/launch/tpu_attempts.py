"""Attempts of one member on a TPU VM, for tests against the gcloud of `fakes`."""

import json
import pathlib

from launch import attempts, tpu_vm
from launch.actions import Attempts
from launch.launching import Launch
from launch.members import Member, store_members
from launch.retry import Budgets
from launch.supervisor import spawn
from tests.launch.fakes import calls

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLACE = {"zone": "us-central2-b", "accelerator_type": "v4-8", "runtime_version": "base", "spot": True}


def tpu_launch(workdir: pathlib.Path, **options: object) -> Launch:
    config = json.dumps({"folder": str(workdir), "train": {"steps": 9}})  # its digest names the node
    members = (Member("a", "a", config),)
    store_members(workdir, members)
    options = tpu_vm.Options(**{**PLACE, "code": str(ROOT), "poll_seconds": 0.05, **options})
    launch = Launch(workdir, "rates", "tpu_vm", options, members, (), 1, Budgets(-1, 3), 20.0)
    launch.save()
    return launch


def attempt(launch: Launch) -> tuple[int, str]:
    """Runs one attempt to its end; returns its code and its log."""
    (action,) = tpu_vm.plan(launch)
    assert isinstance(action, Attempts)
    process = spawn(action.commands["a"], launch.workdir / "launch.log")
    process.wait(timeout=30)
    folder = launch.workdir / "a"
    log = attempts.last_log(folder)
    return attempts.last_code(folder), log.read_text() if log else (launch.workdir / "launch.log").read_text()


def verbs(folder: pathlib.Path) -> list[str]:
    return [call[4] for call in calls(folder)]
