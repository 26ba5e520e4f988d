"""Stand-ins for programs of schedulers and clouds: they write down what they are called with, and answer as told."""

import json
import pathlib
import stat
import sys

import pytest

_TEXT = """#!{python}
import json, os, pathlib, sys
here = pathlib.Path(__file__).resolve().parent
with (here / "calls.jsonl").open("a") as file:
    file.write(json.dumps([os.path.basename(__file__), *sys.argv[1:]]) + "\\n")
print({answer!r})
"""


# A cloud of one TPU VM with some workers, which are this machine. Its state lies beside it: null, or a queued
# resource's state; "script" says what happens to it at which number of "describe" ("2": "SUSPENDED"), "errors" what is
# said there in place of an answer, "refuse" what creation says, and "lost" at which numbers of ssh and scp the
# connection breaks. What is to be run on workers is run by bash, so that quoting is tested.
_GCLOUD = """#!{python}
import json, os, pathlib, shutil, subprocess, sys
here = pathlib.Path(__file__).resolve().parent
with (here / "calls.jsonl").open("a") as file:
    file.write(json.dumps(["gcloud", *sys.argv[1:]]) + "\\n")
path = here / "cloud.json"
cloud = json.loads(path.read_text())
words = sys.argv[1:]
command = words[3]

def end(code=0, said=""):
    path.write_text(json.dumps(cloud))
    print(said, file=sys.stderr, flush=True)
    sys.exit(code)

if command == "describe":
    cloud["looks"] += 1
    cloud["state"] = cloud["script"].get(str(cloud["looks"]), cloud["state"])
    if str(cloud["looks"]) in cloud["errors"]:
        end(1, cloud["errors"][str(cloud["looks"])])
    if cloud["state"] is None:
        end(1, "ERROR: (gcloud.compute.tpus.queued-resources.describe) NOT_FOUND: no such resource")
    failed = {{"error": {{"message": cloud.get("failure", "")}}}}
    print(json.dumps({{"state": {{"state": cloud["state"], "failedData": failed}}}}))
    if cloud["state"] == "WAITING_FOR_RESOURCES":
        cloud["state"] = "ACTIVE"
    end()
if command == "create":
    if cloud["refuse"]:
        end(1, cloud["refuse"])
    cloud["state"] = "WAITING_FOR_RESOURCES"
    end()
if command == "delete":
    cloud["state"] = None
    end()
cloud["connections"] += 1
if cloud["state"] != "ACTIVE" or cloud["connections"] in cloud["lost"]:
    end(255, "ERROR: (gcloud.compute.tpus.tpu-vm.ssh) [/usr/bin/ssh] exited with return code [255].")
if command == "scp":
    shutil.copy(words[4], words[5].partition(":")[2])
    end()
path.write_text(json.dumps(cloud))
line, = [word.partition("=")[2] for word in words if word.startswith("--command=")]
workers = range(1 if "kill -TERM" in line else cloud["workers"])
sys.exit(max(subprocess.run(["bash", "-c", line], env={{**os.environ, "WORKER": str(n)}}).returncode for n in workers))
"""


def fake_gcloud(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, **cloud: object) -> None:
    """Puts a gcloud first on PATH that is a whole cloud; `cloud` is what differs from an ordinary one's state."""
    fake_programs(folder, monkeypatch)
    install(folder / "gcloud", _GCLOUD.format(python=sys.executable))
    ordinary = {
        "state": None, "looks": 0, "script": {}, "errors": {}, "refuse": "", "connections": 0, "lost": [], "workers": 1
    }  # fmt: skip
    (folder / "cloud.json").write_text(json.dumps({**ordinary, **cloud}))


def fake_programs(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, **answers: str) -> None:
    """Puts programs first on PATH that print the given answers."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, answer in answers.items():
        install(folder / name, _TEXT.format(python=sys.executable, answer=answer))
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def install(path: pathlib.Path, text: str) -> None:
    """Writes an executable."""
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def calls(folder: pathlib.Path) -> list[list[str]]:
    """Returns the calls of all programs in a folder, in their order."""
    path = folder / "calls.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
