import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from toto_jax.data.claims import CLAIMS, Claims, owner_of


@pytest.fixture
def claims() -> Iterator[Claims]:
    made = Claims(lease=0.3)
    yield made
    made.close()


def claim_of(folder: pathlib.Path, host: str, process: int, age: float, space: int = 0) -> pathlib.Path:
    path = folder / CLAIMS / "video-00000.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"host": host, "process": process, "space": space, "token": "other"}))
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_one_takes_what_another_has_given_up(tmp_path: pathlib.Path, claims: Claims) -> None:
    other = Claims()
    try:
        assert claims.take(tmp_path, "video-00000")
        assert not other.take(tmp_path, "video-00000")
        assert other.take(tmp_path, "video-00001")
        claims.release(tmp_path, "video-00000")
        assert other.take(tmp_path, "video-00000")
    finally:
        other.close()
    assert list((tmp_path / CLAIMS).iterdir()) == []


def test_a_claim_is_kept_fresh_and_lasts_beyond_its_lease(tmp_path: pathlib.Path, claims: Claims) -> None:
    assert claims.take(tmp_path, "video-00000")
    path = tmp_path / CLAIMS / "video-00000.json"
    first = path.stat().st_mtime_ns
    time.sleep(0.5)
    assert path.stat().st_mtime_ns > first
    assert owner_of(path)["process"] == os.getpid()
    other = Claims(lease=0.3)
    try:
        assert not other.take(tmp_path, "video-00000")
    finally:
        other.close()


def test_the_claims_of_who_hangs_expire_until_it_goes_on(tmp_path: pathlib.Path, claims: Claims) -> None:
    hung = Claims(lease=0.3, quiet=0.3)
    try:
        assert hung.take(tmp_path, "video-00000")
        for _ in range(10):
            time.sleep(0.1)
            hung.beat()
            assert not claims.take(tmp_path, "video-00000")
        time.sleep(0.8)
        assert claims.take(tmp_path, "video-00000")
        assert hung.take(tmp_path, "video-00001")  # which is a sign of life
        path = tmp_path / CLAIMS / "video-00001.json"
        first = path.stat().st_mtime_ns
        time.sleep(0.2)
        assert path.stat().st_mtime_ns > first
    finally:
        hung.close()
    assert owner_of(tmp_path / CLAIMS / "video-00000.json")["token"] == claims._owner["token"]


def test_another_machine_loses_what_it_did_not_touch_in_time(tmp_path: pathlib.Path, claims: Claims) -> None:
    claim_of(tmp_path, "elsewhere", 1, age=0.0)
    assert not claims.take(tmp_path, "video-00000")
    path = claim_of(tmp_path, "elsewhere", 1, age=60.0)
    assert claims.take(tmp_path, "video-00000")
    assert owner_of(path)["host"] != "elsewhere"
    assert [entry.name for entry in path.parent.iterdir()] == ["video-00000.json"]


def test_a_dead_process_of_this_machine_loses_at_once(tmp_path: pathlib.Path, claims: Claims) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    host, space = claims._owner["host"], claims._owner["space"]
    claim_of(tmp_path, host, os.getppid(), 0.0, space)
    assert not claims.take(tmp_path, "video-00000")
    claim_of(tmp_path, host, dead.pid, 0.0, space + 1)
    assert not claims.take(tmp_path, "video-00000"), "in another container that number means another process"
    claim_of(tmp_path, host, dead.pid, 0.0, space)
    assert claims.take(tmp_path, "video-00000")


def test_who_comes_late_to_an_abandoned_claim_puts_the_new_one_back(
    tmp_path: pathlib.Path, claims: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = claim_of(tmp_path, "elsewhere", 1, age=60.0)
    judged = path.stat().st_ino
    assert claims._abandoned(path) == judged
    (tmp_path / "kept").hardlink_to(path)  # so that its inode isn't given to another file
    path.unlink()
    claim_of(tmp_path, "faster", 2, age=0.0)
    found = iter([judged, None])
    monkeypatch.setattr(claims, "_abandoned", lambda path: next(found))
    assert not claims.take(tmp_path, "video-00000")
    assert owner_of(path)["host"] == "faster"
    assert [entry.name for entry in path.parent.iterdir()] == ["video-00000.json"]


def test_a_claim_that_was_taken_over_is_not_given_up(tmp_path: pathlib.Path, claims: Claims) -> None:
    assert claims.take(tmp_path, "video-00000")
    path = claim_of(tmp_path, "elsewhere", 1, age=0.0)
    claims.release(tmp_path, "video-00000")
    assert owner_of(path)["host"] == "elsewhere"


def test_a_claim_that_is_just_being_written_counts(tmp_path: pathlib.Path, claims: Claims) -> None:
    path = claim_of(tmp_path, "elsewhere", 1, age=0.0)
    path.write_text("")
    assert not claims.take(tmp_path, "video-00000")
