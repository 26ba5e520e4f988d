"""JobSets for GKE: what stands in them, and what is made of a cluster's answers."""

import dataclasses
import json
import pathlib

import pytest

from launch import attempts, gke
from launch.actions import Run
from launch.launching import Launch, execute
from launch.members import Member, store_members
from launch.names import cloud_name
from launch.retry import Budgets
from launch.table import table
from tests.launch.fakes import calls, fake_programs
from toto_jax import errors
from toto_jax.errors import ConfigError, TotoError

GIVEN = {
    "image": "gcr.io/mine/toto:1",
    "accelerator": "tpu-v5p-slice",
    "topology": "2x2x4",
    "hosts": 4,
    "claim": "runs",
}


def gke_launch(workdir: pathlib.Path, names: str = "a b", parallel: int = 2, **options: object) -> Launch:
    members = tuple(
        Member(name, name, json.dumps({"name": name, "train": {"steps": 9}})) for name in names.split()
    )
    store_members(workdir, members)
    launch = Launch(
        workdir,
        "rates",
        "gke",
        gke.Options(**{**GIVEN, **options}),
        members,
        (),
        parallel,
        Budgets(-1, 3),
        90.0,
    )
    launch.save()
    return launch


def cluster(launch: Launch, *states: tuple[str, bool]) -> str:
    """Returns what `kubectl get jobsets` answers where members are in these states (terminalState, suspend)."""
    items = [
        {"metadata": {"name": cloud_name(launch, member)}, "spec": {"suspend": held}, "status": {"terminalState": end}}
        for member, (end, held) in zip(launch.members, states, strict=False)
    ]  # fmt: skip
    return json.dumps({"items": items})


def test_codes_after_which_a_restart_is_useless_end_the_job_set(tmp_path: pathlib.Path) -> None:
    launch = gke_launch(tmp_path)
    spec = gke.job_set(launch, launch.members[0])["spec"]
    (replicated,) = spec["replicatedJobs"]
    job = replicated["template"]["spec"]
    (rule,) = job["podFailurePolicy"]["rules"]
    final = [getattr(errors, name).exit_code for name in
             ("ConfigError", "DataError", "CheckpointError", "DivergedError", "StorageError")]  # fmt: skip
    assert rule["action"] == "FailJob"
    assert rule["onExitCodes"]["values"] == final == [64, 65, 66, 67, 73]
    assert spec["failurePolicy"]["rules"][0]["onJobFailureReasons"] == ["PodFailurePolicy"]
    assert rule["onExitCodes"]["containerName"] == job["template"]["spec"]["containers"][0]["name"]
    # Kubernetes: a pod failure policy wants restartPolicy Never; all pods of a slice start again together.
    assert (job["template"]["spec"]["restartPolicy"], job["backoffLimit"]) == ("Never", 0)
    assert (job["parallelism"], job["completions"], job["completionMode"]) == (4, 4, "Indexed")
    assert job["template"]["spec"]["terminationGracePeriodSeconds"] == 90


def test_pods_find_their_config_and_their_folder(tmp_path: pathlib.Path) -> None:
    launch = gke_launch(tmp_path / "mup", queue="tpus")
    member = launch.members[1]
    spec = gke.pod(launch, member)
    (container,) = spec["containers"]
    assert container["command"] == [
        "python3", "-m", "toto_jax.main", "--config=configs/resolved.py:/etc/toto_jax/config.json",
        "--workdir=/runs/mup/b",
    ]  # fmt: skip
    assert gke.config_map(launch, member)["data"] == {"config.json": member.config}
    config, runs = spec["volumes"]
    assert config["configMap"]["name"] == gke.config_map(launch, member)["metadata"]["name"]
    assert runs["persistentVolumeClaim"]["claimName"] == "runs"
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/etc/toto_jax", "/runs"]
    assert gke.job_set(launch, member)["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "tpus"
    assert "suspend" not in gke.job_set(launch, member)["spec"], "that is Kueue's to say"


def test_only_a_slice_of_several_hosts_wants_a_node_pool_to_itself(tmp_path: pathlib.Path) -> None:
    """Slices of one host share a pool: exclusive placement would hold the second member back."""
    many = gke_launch(tmp_path / "many")
    (annotation,) = gke.job_set(many, many.members[0])["metadata"]["annotations"].items()
    assert annotation == ("alpha.jobset.sigs.k8s.io/exclusive-topology", "cloud.google.com/gke-nodepool")
    one = gke_launch(tmp_path / "one", topology="2x2x1", hosts=1)
    assert "annotations" not in gke.job_set(one, one.members[0])["metadata"]


def test_spot_and_reserved_nodes(tmp_path: pathlib.Path) -> None:
    launch = gke_launch(tmp_path / "spot", spot=True)
    pod = gke.pod(launch, launch.members[0])
    assert pod["nodeSelector"]["cloud.google.com/gke-spot"] == "true"
    assert pod["tolerations"] == [{"key": "cloud.google.com/gke-spot", "operator": "Equal", "value": "true"}]
    launch = gke_launch(tmp_path / "reserved", reservation="mine")
    pod = gke.pod(launch, launch.members[0])
    assert pod["nodeSelector"]["cloud.google.com/reservation-name"] == "mine"
    assert "cloud.google.com/gke-spot" not in pod["nodeSelector"]
    assert "tolerations" not in pod
    with pytest.raises(ConfigError, match="--spot --reservation=mine"):
        gke.Options(**{**GIVEN, "spot": True, "reservation": "mine"})


@pytest.mark.parametrize(
    ("topology", "hosts", "chips", "message"),
    [
        (
            "2x2x4",
            2,
            4,
            "2x2x4 has 16 chips, and --hosts=2 --chips=4 makes 8.*--hosts=4 --chips=4 or --hosts=16",
        ),
        (
            "2x4",
            2,
            8,
            "has 8 chips.*makes 16. --hosts=1 --chips=8 or --hosts=2 --chips=4 or --hosts=8 --chips=1",
        ),
        ("16", 4, 4, "--topology=16 is no grid"),
    ],
)
def test_a_slice_whose_hosts_do_not_make_its_topology(
    topology: str, hosts: int, chips: int, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        gke.Options(**{**GIVEN, "topology": topology, "hosts": hosts, "chips": chips})


@pytest.mark.reference
def test_the_pods_part_is_what_kubernetes_takes(tmp_path: pathlib.Path) -> None:
    validate = pytest.importorskip(
        "kubernetes_validate", reason="the schemas of Kubernetes come with a package"
    )
    launch = gke_launch(tmp_path, spot=True)
    for member in launch.members:
        job = gke.job_set(launch, member)["spec"]["replicatedJobs"][0]["template"]["spec"]
        manifest = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, "spec": job}
        validate.validate(manifest, "1.31", strict=True)
        validate.validate(gke.config_map(launch, member), "1.31", strict=True)
        job["template"]["spec"]["terminationGracePeriodSecond"] = 3
        with pytest.raises(validate.ValidationError):
            validate.validate(manifest, "1.31", strict=True)


def test_more_members_than_may_run_at_once_want_a_queue(tmp_path: pathlib.Path) -> None:
    with pytest.raises(
        ConfigError, match=r"2 members would run at once and --parallel=1: .*--queue.*--parallel=2"
    ):
        gke.plan(gke_launch(tmp_path, parallel=1))
    held_back = gke.plan(gke_launch(tmp_path, parallel=1, queue="tpus"))
    assert sum(isinstance(action, Run) for action in held_back) == 2


def test_the_cluster_is_asked_and_what_is_done_is_kept(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = gke_launch(tmp_path / "w", "a b c d e", parallel=5)
    answer = cluster(launch, ("Completed", False), ("Failed", False), ("", False), ("", True))
    fake_programs(tmp_path / "bin", monkeypatch, kubectl=answer)
    words = ["done", "failed", "running", "queued", "not"]
    assert [line.split()[1] for line in table(launch).splitlines()[1:6]] == words
    gke.get_ready(launch)
    assert (launch.workdir / "a" / "DONE").exists()
    deleted = [call for call in calls(tmp_path / "bin") if call[1] == "delete"]
    failed = cloud_name(launch, launch.members[1])
    assert deleted == [["kubectl", "delete", "jobset", failed, "--namespace=default"]]
    execute(launch, gke.plan(launch), lambda line: None)
    applied = [call[-1] for call in calls(tmp_path / "bin") if call[1] == "apply"]
    assert applied == [f"--filename={launch.workdir}/gke/{name}.json" for name in "bcde"]
    kinds = [item["kind"] for item in json.loads((launch.workdir / "gke" / "b.json").read_text())["items"]]
    assert kinds == ["ConfigMap", "JobSet"]
    assert gke.stop(launch) == ["c", "d"]
    assert calls(tmp_path / "bin")[-1] == [
        "kubectl", "delete", "jobsets,configmaps", "--selector=toto-jax/launch=rates", "--namespace=default"
    ]  # fmt: skip
    assert attempts.count(launch.workdir / "a") == 0


def test_a_cluster_that_does_not_answer(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launch = gke_launch(tmp_path / "w")
    fake_programs(tmp_path / "bin", monkeypatch)
    program = tmp_path / "bin" / "kubectl"
    program.write_text("#!/bin/sh\necho 'the server is not reachable' >&2\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(TotoError, match="could not list the launch's JobSets:\nthe server is not reachable"):
        gke.states(launch)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="'kubectl' is not on PATH"):
        gke.get_ready(launch)


@pytest.mark.parametrize("missing", ["image", "accelerator", "topology", "claim"])
def test_what_a_job_set_needs(missing: str) -> None:
    with pytest.raises(ConfigError, match=f"--backend=gke needs --{missing}"):
        gke.Options(**{**GIVEN, missing: ""})
    with pytest.raises(ConfigError, match="--hosts=0"):
        gke.Options(**{**GIVEN, "hosts": 0})


def test_a_name_too_long_for_kubernetes(tmp_path: pathlib.Path) -> None:
    launch = dataclasses.replace(gke_launch(tmp_path), name="learning-rates-of-all-widths-to-1536")
    with pytest.raises(
        ConfigError, match="has 45 characters; it may have 40.*--name=learning-rates-of-all-widths-to"
    ):
        gke.plan(launch)
