"""Videos whose frames are plain greys show which frame came out where."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from toto_jax.data.video_reader import VideoFrames, read_video
from toto_jax.errors import DataError

GREYS = [20 * k for k in range(12)]
CODECS = [".avi", ".gif", ".mkv", ".mov", ".mp4", ".webm"]


def read(
    path: pathlib.Path, wanted=lambda count: range(count), prepare=np.asarray, **changes: int
) -> VideoFrames:
    return read_video(
        path, wanted, prepare, **{"size": 16, "max_pixels": 100_000, "max_frames": 1000, **changes}
    )


def greys(video: VideoFrames) -> dict[int, float]:
    return {index: float(frame.mean()) for index, frame in sorted(video.frames.items())}


@pytest.mark.parametrize("extension", CODECS)
def test_wanted_frames_come_from_every_container(make_video, extension: str) -> None:
    path = make_video(f"a{extension}", GREYS, rate=12.5)
    seen = []

    def prepare(image: Image.Image) -> np.ndarray:
        seen.append(image.size)
        return np.asarray(image)

    video = read(path, lambda count: [count - 1, 3, 4], prepare)
    assert video.frame_count == 12
    assert greys(video) == pytest.approx({3: 60, 4: 80, 11: 220}, abs=6)
    assert all(frame.shape == (32, 48, 3) for frame in video.frames.values())
    assert video.frames_per_second == pytest.approx(12.5, rel=0.01)
    assert video.seconds == pytest.approx({3: 0.24, 4: 0.32, 11: 0.88}, abs=0.01)
    assert seen == [(48, 32)] * 3  # only what is wanted becomes RGB


def test_fractional_rates_are_kept(make_video) -> None:
    video = read(make_video("a.mp4", GREYS, rate=30000 / 1001))
    assert video.frames_per_second == pytest.approx(29.97, abs=0.005)
    assert video.seconds[9] == pytest.approx(9 * 1001 / 30000, abs=1e-4)


def test_frames_come_in_display_order(make_video) -> None:
    shown = [0, 2, 1, 3, 5, 4, 6, 7]
    path = make_video("a.mkv", [20 * time for time in shown], shown=shown)
    video = read(path, wanted=lambda count: range(1, count))
    assert greys(video) == pytest.approx({time: 20 * time for time in range(1, 8)}, abs=3)
    assert video.seconds == pytest.approx({time: time / 25 for time in range(1, 8)}, abs=0.002)


@pytest.mark.parametrize("told", [5, 1000])
def test_a_header_with_a_wrong_count_is_not_believed(make_video, told: int) -> None:
    path = make_video("a.avi", GREYS)
    content = bytearray(path.read_bytes())
    place = content.index(b"strh") + 40  # of the length in AVI's stream header
    assert int.from_bytes(content[place : place + 4], "little") == len(GREYS)
    content[place : place + 4] = told.to_bytes(4, "little")
    path.write_bytes(content)
    asked = []
    video = read(path, wanted=lambda count: asked.append(count) or [count // 2])
    assert asked == [told, 12]
    assert greys(video) == pytest.approx({6: 120}, abs=6)


def test_what_the_caller_says_of_the_count_is_reported(make_video) -> None:
    def wanted(count: int) -> list[int]:
        if count < 13:
            raise DataError("has too few")
        return [0]

    with pytest.raises(DataError, match="a.avi has too few"):
        read(make_video("a.avi", GREYS), wanted)
    assert read(make_video("b.avi", [*GREYS, 0]), wanted).frame_count == 13


@pytest.mark.parametrize(
    ("name", "turns"), [("video_0", 0), ("video_90", 1), ("video_180", 2), ("video_270", 3)]
)
def test_rotation_metadata_is_applied(shared_data: pathlib.Path, name: str, turns: int) -> None:
    """Their names say how far the camera was turned clockwise, so how far the stored picture is to be
    turned.
    """
    import av

    path = shared_data / "decoder-edge-cases" / f"{name}.mov"
    with av.open(str(path)) as container:
        stored = next(container.decode(video=0)).to_ndarray(format="rgb24")
    video = read(path, max_pixels=1_000_000)
    assert video.frame_count == 3
    assert video.frames[0].shape == ((568, 320, 3) if turns % 2 else (320, 568, 3))
    np.testing.assert_array_equal(video.frames[0], np.rot90(stored, -turns))


def test_out_of_order_file_gives_all_its_frames(shared_data: pathlib.Path) -> None:
    video = read(shared_data / "decoder-edge-cases" / "unordered.mov")
    assert video.frame_count == 4
    assert list(video.seconds.values()) == pytest.approx([0, 1 / 32, 2 / 32, 3 / 32])


def test_times_count_from_the_first_frame(shared_data: pathlib.Path) -> None:
    """This file's first frame is stamped 33 ms."""
    video = read(shared_data / "intel-sample-videos" / "asl_gestures" / "milk.mkv", max_pixels=1_000_000)
    assert video.seconds[0] == 0
    assert video.seconds[50] == pytest.approx(50 / 30, abs=0.01)


def test_a_broken_video_says_how_far_it_came(shared_data: pathlib.Path) -> None:
    with pytest.raises(DataError, match="corrupted.mp4 breaks after 28 frames: Invalid data"):
        read(shared_data / "decoder-edge-cases" / "corrupted.mp4", max_pixels=10_000_000)


@pytest.mark.parametrize("extension", [".avi", ".mkv", ".mov", ".mp4", ".webm"])
def test_truncated_videos_are_refused(make_video, extension: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 32, 48, 3), dtype=np.uint8)
    path = make_video(f"a{extension}", frames=noise)
    assert read(path).frame_count == 40
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(
        DataError, match=rf"a\{extension} (breaks after \d+ frames|can't be decoded as a video)"
    ):
        read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"just some text\n" * 100, "can't be decoded as a video: Invalid data"),
        (b"", "can't be decoded as a video"),
        (b"#EXTM3U\n#EXTINF:1,\nhttp://localhost:9/a.ts\n", "can't be decoded as a video"),
    ],
)
def test_other_files_named_mp4_are_refused(tmp_path: pathlib.Path, content: bytes, message: str) -> None:
    pytest.importorskip("av")
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"a.mp4 {message}"):
        read(path)


def test_a_playlist_does_not_lead_to_other_files(make_video, tmp_path: pathlib.Path) -> None:
    make_video("secret.mp4", GREYS)
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile secret.mp4\n")
    with pytest.raises(DataError, match="list.mp4 is a list of other files"):
        read(tmp_path / "list.mp4")


def test_missing_and_silent_files(tmp_path: pathlib.Path) -> None:
    av = pytest.importorskip("av")
    with pytest.raises(DataError, match="gone.mp4 does not exist"):
        read(tmp_path / "gone.mp4")
    with av.open(str(tmp_path / "sound.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        samples.sample_rate = 8000
        container.mux(stream.encode(samples))
    with pytest.raises(DataError, match="sound.mkv has no video stream"):
        read(tmp_path / "sound.mkv")


def test_a_name_with_a_colon_is_a_file(
    make_video, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_video("12:30.mp4", GREYS)
    monkeypatch.chdir(tmp_path)
    assert read(pathlib.Path("12:30.mp4")).frame_count == 12


def test_a_title_that_is_not_utf8_is_no_reason_to_refuse(make_video) -> None:
    path = make_video("a.mp4", GREYS)
    content = path.read_bytes()
    assert b"Lavf" in content  # the name of the program that wrote it
    path.write_bytes(content.replace(b"Lavf", b"\xff\xfe\xff\xc0"))
    assert read(path).frame_count == 12


def test_mistakes_in_our_own_code_are_not_taken_for_broken_videos(make_video) -> None:
    def prepare(image: Image.Image) -> None:
        raise TypeError("a mistake")

    with pytest.raises(TypeError, match="a mistake"):
        read(make_video("a.mp4", GREYS), prepare=prepare)


@pytest.mark.parametrize("extension", CODECS)
def test_large_frames_are_refused_before_they_are_decoded(make_video, extension: str) -> None:
    path = make_video(f"a{extension}", GREYS, shape=(64, 96))
    asked = []
    with pytest.raises(DataError, match=r"96x64 = 6,144 pixels large"):
        read(path, wanted=lambda count: asked.append(count) or [], max_pixels=6_143)
    assert not asked
    assert read(path, max_pixels=6_144).frame_count == 12


def test_prepare_gets_an_rgb_picture(make_video) -> None:
    kinds = set()
    read(make_video("a.gif", GREYS), prepare=lambda image: kinds.add((type(image), image.mode)))
    assert kinds == {(Image.Image, "RGB")}
