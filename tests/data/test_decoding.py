"""Real child processes: what crashes, hangs or swells costs its input and nothing else."""

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from toto_jax.data.clips import ClipsConfig
from toto_jax.data.decoding import Decoders, DecodingConfig, Request
from toto_jax.data.media import MediaItem, file_item
from toto_jax.data.synthetic import clip_name, render_clip
from toto_jax.errors import ConfigError, DataError


@pytest.fixture
def request_for(clips_config) -> Callable[..., Request]:
    def build(item: MediaItem, **changes: int) -> Request:
        return Request(item, 3, clips_config(**changes), seed=5)

    return build


def children() -> list[int]:
    """Returns the decoders of this process."""
    found = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True
    )
    return [int(line.split()[0]) for line in found.stdout.splitlines() if "decoding_child" in line]


def synthetic(number: int) -> MediaItem:
    return MediaItem(clip_name(number), "video", "up", None, 0)


def test_clips_come_from_one_child_that_is_kept(decoding: DecodingConfig, request_for) -> None:
    decoders = Decoders(decoding)
    (clip,) = decoders.clips(request_for(synthetic(2)))
    np.testing.assert_array_equal(clip.video_FHWC, render_clip(5, 2, frames=4, size=16))
    assert clip.record.labels == (3,)
    before = children()
    assert len(list(decoders.clips(request_for(synthetic(3))))) == 1
    assert children() == before
    assert len(before) == 1
    decoders.close()
    assert children() == []


def test_a_rejected_input_leaves_the_child_alive(
    decoding: DecodingConfig, request_for, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "text.png").write_text("just some text")
    item = file_item("deep/text.png", str(tmp_path / "text.png"))
    decoders = Decoders(decoding)
    assert len(list(decoders.clips(request_for(synthetic(0))))) == 1
    before = children()
    with pytest.raises(DataError, match=r"^text.png is not an image"):
        list(decoders.clips(request_for(item)))
    assert children() == before
    decoders.close()


def test_an_abandoned_input_does_not_leak_into_the_next(
    decoding: DecodingConfig, request_for, make_video
) -> None:
    path = make_video("a.mkv", list(range(20)))
    decoders = Decoders(decoding)
    stream = decoders.clips(request_for(file_item("a.mkv", str(path)), per_video=4))
    next(stream)
    stream.close()
    (clip,) = decoders.clips(request_for(synthetic(1)))
    assert clip.record.source == clip_name(1)
    decoders.close()


def test_an_input_does_not_pay_for_what_its_decoder_went_through(
    decoding: DecodingConfig, request_for
) -> None:
    decoders = Decoders(decoding)
    assert len(list(decoders.clips(request_for(synthetic(0))))) == 1
    os.kill(children()[0], signal.SIGKILL)
    assert len(list(decoders.clips(request_for(synthetic(1))))) == 1
    decoders.close()


def test_a_decoder_that_crashes_over_an_input_twice_costs_that_input(
    decoding: DecodingConfig, request_for, tmp_path: pathlib.Path
) -> None:
    os.mkfifo(tmp_path / "endless.png")
    decoders, killed = Decoders(decoding), set()

    def crash_two() -> None:
        while len(killed) < 2:
            for child in set(children()) - killed:
                time.sleep(0.5)  # it has got the input by then
                os.kill(child, signal.SIGSEGV)
                killed.add(child)

    killer = threading.Thread(target=crash_two)
    killer.start()
    with pytest.raises(DataError, match=r"^endless.png crashed the decoder \(signal 11\)"):
        list(decoders.clips(request_for(file_item("endless.png", str(tmp_path / "endless.png")))))
    killer.join()
    assert len(list(decoders.clips(request_for(synthetic(1))))) == 1
    decoders.close()


def test_a_decoder_that_hangs_is_ended(request_for, tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "endless.png")  # nobody ever writes to it, so opening it never ends
    decoders = Decoders(DecodingConfig(processes=1, memory_gb=4.0, seconds=0.5, buffer_gb=0.1))
    assert len(list(decoders.clips(request_for(synthetic(0))))) == 1
    began = time.monotonic()
    with pytest.raises(DataError, match=r"endless.png kept the decoder busy for config.decoding.seconds=0.5"):
        list(decoders.clips(request_for(file_item("endless.png", str(tmp_path / "endless.png")))))
    assert time.monotonic() - began < 10
    assert len(list(decoders.clips(request_for(synthetic(1))))) == 1
    decoders.close()


@pytest.mark.parametrize(
    ("every_seconds", "end"),
    [
        (0.0, r"without a clip; a video is decoded whole .* config.clips.every_seconds"),
        (2.0, "without a clip$"),
    ],
)
def test_a_long_video_is_told_what_would_do(
    request_for, tmp_path: pathlib.Path, every_seconds: float, end: str
) -> None:
    os.mkfifo(tmp_path / "endless.mp4")
    item = file_item("endless.mp4", str(tmp_path / "endless.mp4"))
    decoders = Decoders(DecodingConfig(processes=1, memory_gb=4.0, seconds=0.5, buffer_gb=0.1))
    assert len(list(decoders.clips(request_for(synthetic(0))))) == 1  # a fresh child is given time to start
    with pytest.raises(DataError, match=end):
        list(decoders.clips(request_for(item, every_seconds=every_seconds)))
    decoders.close()


def test_a_decoder_that_swells_is_refused_the_memory(request_for, tmp_path: pathlib.Path) -> None:
    """600 MB of pixels in 70 kB: what is called a decompression bomb."""
    Image.new("1", (14_000, 14_000)).save(tmp_path / "bomb.png")
    bomb = file_item("bomb.png", str(tmp_path / "bomb.png"))
    decoders = Decoders(DecodingConfig(processes=1, memory_gb=1.0, seconds=60.0, buffer_gb=0.1))
    with pytest.raises(DataError, match=r"bomb.png needs more memory than a decoder has"):
        list(decoders.clips(request_for(bomb, max_pixels=10**9)))
    assert len(list(decoders.clips(request_for(synthetic(1))))) == 1
    with pytest.raises(DataError, match=r"bomb.png is 14000x14000 = 196,000,000 pixels large"):
        list(decoders.clips(request_for(bomb)))
    decoders.close()


def test_sixty_megapixels_are_cut_within_the_usual_limits(
    decoding: DecodingConfig, request_for, tmp_path: pathlib.Path
) -> None:
    Image.new("L", (10_000, 6_000), 77).save(tmp_path / "large.png")
    decoders = Decoders(decoding)
    item = file_item("large.png", str(tmp_path / "large.png"))
    (clip,) = decoders.clips(request_for(item, max_pixels=64_000_000))
    assert (clip.video_FHWC == 77).all()
    decoders.close()


def test_children_end_with_a_parent_that_is_killed(tmp_path: pathlib.Path, clips_config) -> None:
    config: ClipsConfig = clips_config()
    values = tuple(getattr(config, name) for name in config.__dataclass_fields__)
    program = f"""
import time
from toto_jax.data.clips import ClipsConfig
from toto_jax.data.decoding import Decoders, DecodingConfig, Request
from toto_jax.data.media import MediaItem
decoders = Decoders(DecodingConfig(1, 4.0, 60.0, 0.1))
list(decoders.clips(Request(MediaItem("up/0000001", "video", None, None, 0), None, ClipsConfig(*{values}), 0)))
print(next(iter(decoders._children))._process.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while pathlib.Path(f"/proc/{child}").exists() and "Z" not in _state(child):
        assert time.monotonic() < deadline, "the decoder outlived its parent"
        time.sleep(0.01)


def _state(process: int) -> str:
    return pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_decoder_holds_no_jax() -> None:
    program = (
        "import sys, toto_jax.data.decoding_child; print([m for m in sys.modules if m.startswith('jax')])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"processes": -1}, "config.decoding.processes=-1: give 0 for one a core"),
        ({"seconds": 0.0}, "config.decoding.seconds must be above 0, not 0.0"),
        ({"memory_gb": -2.0}, "config.decoding.memory_gb must be above 0"),
    ],
)
def test_impossible_limits_are_refused(changes: dict, message: str) -> None:
    values = {"processes": 1, "memory_gb": 4.0, "seconds": 60.0, "buffer_gb": 0.1}
    with pytest.raises(ConfigError, match=message):
        DecodingConfig(**(values | changes))
