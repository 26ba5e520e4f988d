import json
import os
import pathlib
import platform
import subprocess
import sys

import pytest

# Tells what it finds, as a command of the package would run.
COMMAND = """
import json, os, sys
from absl import flags
import jax
from toto_jax import errors
from toto_jax.command_line import run_command

WORD = flags.DEFINE_string("word", "", "")

def command():
    if WORD.value == "data":
        raise errors.DataError("the shards are gone")
    if WORD.value == "bug":
        raise ZeroDivisionError("a bug")
    print(json.dumps({
        "word": WORD.value,
        "pid": os.getpid(),
        "tunables": os.environ.get("GLIBC_TUNABLES"),
        "cache": jax.config.jax_compilation_cache_dir,
    }))

if __name__ == "__main__":
    print("started", os.getpid())
    run_command(command)
"""
needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")


def start(tmp_path: pathlib.Path, *arguments: str, **changes: str | None) -> subprocess.CompletedProcess[str]:
    (tmp_path / "told.py").write_text(COMMAND)
    inherited = {
        key: value
        for key, value in os.environ.items()
        if key not in ("GLIBC_TUNABLES", "JAX_COMPILATION_CACHE_DIR", "XDG_CACHE_HOME")
    }
    path = os.pathsep.join([str(pathlib.Path(__file__).parents[1]), str(tmp_path)])
    return subprocess.run(
        [sys.executable, "-m", "told", *arguments],
        env={**inherited, "PYTHONPATH": path, **{key: value for key, value in changes.items() if value}},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )


@needs_glibc
def test_a_command_starts_anew_with_its_allocator_and_stays_the_same_process(tmp_path: pathlib.Path) -> None:
    """Whoever started it (a scheduler, a shell) goes on watching the same process, with the same arguments."""
    done = start(tmp_path, "--word=a b", JAX_PLATFORMS="cpu")
    first, second, told = done.stdout.splitlines()
    assert first == second == f"started {json.loads(told)['pid']}"
    assert "glibc.malloc.hugetlb=1:" in json.loads(told)["tunables"]
    assert json.loads(told)["word"] == "a b"


@needs_glibc
def test_where_an_accelerator_computes_the_allocator_is_left_alone(tmp_path: pathlib.Path) -> None:
    done = start(tmp_path, JAX_PLATFORMS="cuda,cpu")
    _, told = done.stdout.splitlines()
    assert json.loads(told)["tunables"] is None


@needs_glibc
def test_a_setting_of_the_allocator_is_left_alone(tmp_path: pathlib.Path) -> None:
    done = start(tmp_path, GLIBC_TUNABLES="glibc.malloc.check=0", JAX_PLATFORMS="cpu")
    started, told = done.stdout.splitlines()
    assert json.loads(told)["tunables"] == "glibc.malloc.check=0"


def test_compiled_programs_are_kept_where_the_user_says(tmp_path: pathlib.Path) -> None:
    def cache(**changes: str) -> str:
        return json.loads(start(tmp_path, **changes).stdout.splitlines()[-1])["cache"]

    assert cache(HOME=str(tmp_path)) == str(tmp_path / ".cache/toto_jax")
    assert cache(XDG_CACHE_HOME=str(tmp_path / "xdg")) == str(tmp_path / "xdg/toto_jax")
    assert cache(JAX_COMPILATION_CACHE_DIR=str(tmp_path / "own")) == str(tmp_path / "own")


def test_an_error_of_ours_is_one_message_and_its_exit_code(tmp_path: pathlib.Path) -> None:
    done = start(tmp_path, "--word=data")
    assert done.returncode == 65
    assert done.stderr.strip() == "DataError: the shards are gone"


def test_a_bug_keeps_its_traceback(tmp_path: pathlib.Path) -> None:
    done = start(tmp_path, "--word=bug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "ZeroDivisionError: a bug" in done.stderr


def test_a_word_that_is_no_flag_is_refused(tmp_path: pathlib.Path) -> None:
    done = start(tmp_path, "configs/base.py")
    assert done.returncode != 0
    assert "Unexpected arguments: configs/base.py" in done.stderr
