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
