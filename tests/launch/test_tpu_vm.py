"""Attempts on TPU VMs, against a gcloud that keeps a node's state and runs what is for the workers here."""

import dataclasses
import pathlib
import signal
import time

import pytest

from launch import attempts, locks, tpu_vm
from launch.launching import Launch
from launch.members import Member
from launch.names import cloud_name
from launch.retry import Budgets
from launch.supervisor import spawn
from launch.tpu_commands import GO, RECREATE, WAIT, ConnectionLost, Node, explain
from tests.launch.fakes import calls, fake_gcloud
from tests.launch.stand_in import stand_in
from tests.launch.tpu_attempts import PLACE, ROOT, attempt, tpu_launch, verbs
from toto_jax.errors import ConfigError, JobError, Preempted


def test_a_node_is_made_used_and_deleted(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = stand_in(tmp_path / "a python", "0 0")
    fake_gcloud(tmp_path / "bin", monkeypatch, workers=2)
    setup = f"echo \"it's $((1 + 1))\" >> '{tmp_path}/set up' && cd / && export FROM_SETUP=yes # a comment"
    launch = tpu_launch(tmp_path / "my runs; $(touch traps)", python=python, setup=setup)
    code, log = attempt(launch)
    assert code == 0, log
    assert verbs(tmp_path / "bin") == [
        "describe", "create", "describe", "describe", "ssh", "scp", "ssh", "delete"
    ]  # fmt: skip
    assert (tmp_path / "set up").read_text() == "it's 2\n" * 2, "on both workers, as it was written"
    assert log.count("launch: exit code 0") == 2
    assert log.count("FROM_SETUP yes") == 2, "the training is run in the setup's shell"
    assert (launch.workdir / "a" / "DONE").exists()
    (node,) = tpu_vm.nodes(launch).values()
    assert pathlib.Path(node.config_file).read_text() == launch.members[0].config
    assert not (ROOT / "traps").exists()


@pytest.mark.parametrize(("broken", "work"), [(2, ["scp"]), (3, ["scp", "ssh"])])
def test_a_preempted_node_is_made_anew(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, broken: int, work: list[str]
) -> None:
    """READY at first, PREEMPTED (as a queued resource: SUSPENDED) when it is looked at after the connection broke."""
    fake_gcloud(tmp_path / "bin", monkeypatch, state="ACTIVE", script={"2": "SUSPENDED"}, lost=[broken])
    launch = tpu_launch(tmp_path / "w", python=stand_in(tmp_path / "python", "0"))
    code, log = attempt(launch)
    assert code == 42, log
    code, log = attempt(launch)
    assert code == 0, log
    assert verbs(tmp_path / "bin") == [
        "describe", "ssh", *work, "describe",
        "describe", "delete", "describe", "create", "describe", "describe", "ssh", "scp", "ssh", "delete",
    ]  # fmt: skip


@pytest.mark.parametrize("broken", [2, 3])
def test_a_connection_that_breaks_is_no_failure_of_the_run(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, broken: int
) -> None:
    """The node was preempted and is still listed as there, or only the connection is gone."""
    fake_gcloud(tmp_path / "bin", monkeypatch, state="ACTIVE", lost=[broken])
    launch = tpu_launch(tmp_path / "w", python=stand_in(tmp_path / "python", "0"))
    assert attempt(launch)[0] == 44
    assert verbs(tmp_path / "bin")[-1] == "describe"
    assert attempt(launch)[0] == 0


def test_a_node_whose_ssh_is_not_up_yet_is_waited_for(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_gcloud(tmp_path / "bin", monkeypatch, state="ACTIVE", lost=[1, 2])
    launch = tpu_launch(tmp_path / "w", python=stand_in(tmp_path / "python", "0"))
    code, log = attempt(launch)
    assert code == 0, log
    assert log.count("can't be reached by ssh") == 2
    fake_gcloud(tmp_path / "bin", monkeypatch, state="ACTIVE", lost=list(range(100)))
    assert attempt(tpu_launch(tmp_path / "v", patience_seconds=0.2))[0] == 44


def test_a_minutes_quota_of_requests_comes_back(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = (
        "ERROR: (gcloud) RESOURCE_EXHAUSTED: Quota exceeded for quota metric 'Read requests' and limit 'Read requests "
        "per minute' of service 'tpu.googleapis.com'. reason: RATE_LIMIT_EXCEEDED"
    )
    fake_gcloud(tmp_path / "bin", monkeypatch, state="ACTIVE", errors={"1": said, "2": said})
    code, log = attempt(tpu_launch(tmp_path / "w", python=stand_in(tmp_path / "python", "0")))
    assert code == 0, log
    assert log.count("gcloud is asked too often") == 2


def test_want_of_capacity_is_waited_out(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = {"1": "FAILED", "3": None, "6": "ACTIVE"}
    fake_gcloud(
        tmp_path / "bin", monkeypatch, script=script, failure="no more capacity", refuse="no more capacity"
    )
    code, log = attempt(
        tpu_launch(tmp_path / "w", python=stand_in(tmp_path / "python", "0"), patience_seconds=0)
    )
    assert code == 0, log
    assert "us-central2-b has no v4-8 to give just now" in log


def test_the_worst_code_of_the_workers_counts(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = stand_in(tmp_path / "python", "0 67")
    fake_gcloud(tmp_path / "bin", monkeypatch, state="ACTIVE", workers=2)
    code, log = attempt(tpu_launch(tmp_path / "w", python=python))
    assert code == 67, log
    assert verbs(tmp_path / "bin")[-1] == "delete", "nothing is left to pay for"


def test_a_node_whose_run_failed_is_kept_for_the_next_attempt(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_gcloud(tmp_path / "bin", monkeypatch, state="ACTIVE")
    launch = tpu_launch(tmp_path / "w", python=stand_in(tmp_path / "python", "1 0"))
    assert attempt(launch)[0] == 1
    assert "delete" not in verbs(tmp_path / "bin")
    assert attempt(launch)[0] == 0


def test_want_of_quota_is_said_and_not_tried_again(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = (
        "ERROR: (gcloud) RESOURCE_EXHAUSTED: Quota limit 'TPUV4CoresPerProject' has been exceeded. Limit: 0"
    )
    fake_gcloud(tmp_path / "bin", monkeypatch, refuse=refusal)
    code, log = attempt(tpu_launch(tmp_path / "w"))
    assert code == 64
    assert "ConfigError: Google Cloud has no quota left for v4-8 in us-central2-b (spot): ask for more" in log
    assert "TPUV4CoresPerProject" in log
    fake_gcloud(tmp_path / "bin", monkeypatch, state="FAILED", failure="Quota exceeded for v4")
    assert attempt(tpu_launch(tmp_path / "v"))[0] == 64


def test_stop_has_the_training_save_and_deletes_the_node(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_gcloud(tmp_path / "bin", monkeypatch, state="ACTIVE")
    launch = tpu_launch(tmp_path / "w", python=stand_in(tmp_path / "python", "wait"))
    (action,) = tpu_vm.plan(launch)
    process = spawn(action.commands["a"], tmp_path / "launch.log")
    try:
        deadline = time.monotonic() + 20
        while not (launch.workdir / "a" / "ready").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert tpu_vm.stop(launch) == ["a"]
        assert attempts.last_code(launch.workdir / "a") == 42
        assert verbs(tmp_path / "bin")[-2:] == ["describe", "delete"]
        stops = [call for call in calls(tmp_path / "bin") if any("kill -TERM" in word for word in call)]
        assert len(stops) == 1, "a second SIGTERM would end a training that is saving"
        process.wait(timeout=10)
    finally:
        locks.tell(attempts.lock_of(launch.workdir / "a"), signal.SIGKILL)


def test_every_state_of_a_queued_resource_is_known() -> None:
    """The states that Google's reference lists, but for the one that is never given out (STATE_UNSPECIFIED)."""
    listed = (
        "ACCEPTED ACTIVE CREATING DELETING FAILED PROVISIONING SUSPENDED SUSPENDING WAITING_FOR_RESOURCES"
    )
    assert sorted([*WAIT, *GO, *RECREATE]) == listed.split()


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("RESOURCE_EXHAUSTED: Quota limit reached", ConfigError),
        ("Quota exceeded for 'Write requests per minute'", JobError),
        ("429: reason: RATE_LIMIT_EXCEEDED, quota_limit: defaultPerMinutePerProject", JobError),
        ("There is no more capacity in the zone (RESOURCE_EXHAUSTED)", Preempted),
        ("[/usr/bin/ssh] exited with return code [255].", ConnectionLost),
        ("unrecognized arguments: --reservd", ConfigError),
        ("PERMISSION_DENIED: tpu.nodes.create", ConfigError),
        ("Please run: $ gcloud auth login", ConfigError),
        ("Connection reset by peer", JobError),
    ],
)
def test_what_gcloud_says(said: str, error: type[Exception]) -> None:
    node = Node("n", "z", "", "v4-8", "base", False, ())
    assert type(explain(node, said)) is error
    assert said in str(explain(node, said))
    assert type(explain(node, said, 255)) is ConnectionLost


@pytest.mark.parametrize("missing", ["zone", "accelerator_type", "runtime_version"])
def test_what_a_node_needs(missing: str) -> None:
    with pytest.raises(ConfigError, match=f"--backend=tpu_vm needs --{missing}"):
        tpu_vm.Options(**{**PLACE, missing: ""})


def test_a_preparation_is_left_to_a_person(tmp_path: pathlib.Path) -> None:
    launch = dataclasses.replace(tpu_launch(tmp_path), prepare=(("python", "-m", "it"),))
    with pytest.raises(ConfigError, match=r"give --prepared then:\n  python -m it"):
        tpu_vm.plan(launch)
    done = dataclasses.replace(launch, options=dataclasses.replace(launch.options, prepared=True))
    assert len(tpu_vm.plan(done)) == 1


def test_where_gcloud_is_not_installed(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="'gcloud' is not on PATH: it belongs to the Google Cloud CLI"):
        tpu_vm.get_ready(tpu_launch(tmp_path))


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("a-name-that-says-all-that-there-is-to-say", "a-name-that-says-all-that-there"),
        ("Mup_LR", "mup-lr"),
        ("1b", "toto-1b"),
    ],
)
def test_names_that_clouds_do_not_take(tmp_path: pathlib.Path, name: str, better: str) -> None:
    launch = dataclasses.replace(tpu_launch(tmp_path), name=name)
    with pytest.raises(ConfigError, match=rf"--name={better} would do"):
        tpu_vm.plan(launch)
    good = cloud_name(dataclasses.replace(launch, name=better), launch.members[0])
    assert good == f"{better}-{launch.members[0].digest[:8]}"
    assert len(good) <= 40


def test_a_run_alone_bears_its_launchs_name(tmp_path: pathlib.Path) -> None:
    member = Member("base-12345678", ".", "{}")
    launch = Launch(tmp_path, "base-12345678", "tpu_vm", None, (member,), (), 1, Budgets(-1, 3), 1.0)
    assert cloud_name(launch, member) == "base-12345678"
