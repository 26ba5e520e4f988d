import pathlib

import numpy as np
import pytest
from PIL import Image

from toto_jax.data.media import MediaItem, file_item
from toto_jax.data.media_reader import read_item_image, read_item_video
from toto_jax.errors import DataError


def in_the_middle(path: pathlib.Path, kind: str, content: bytes) -> MediaItem:
    """An item of some bytes between others, as a member of a tar is."""
    path.write_bytes(b"before" * 100 + content + b"behind" * 100)
    return MediaItem(f"{path.name}/x{kind}", kind, None, str(path), len(content), None, 600)


def read(item: MediaItem) -> tuple:
    video = read_item_video(item, lambda count: {0, count - 1}, np.asarray, 16, 10**6, 10**6)
    frames = {index: frame.tobytes() for index, frame in video.frames.items()}
    return frames, video.seconds, video.frame_count, video.frames_per_second


@pytest.mark.parametrize("extension", [".avi", ".gif", ".mkv", ".mov", ".mp4", ".webm"])
def test_a_video_within_a_file_is_that_video(make_video, tmp_path: pathlib.Path, extension: str) -> None:
    path = make_video(f"a{extension}", [20 * k for k in range(9)], rate=12.5)
    inside = in_the_middle(tmp_path / "b.tar", "video", path.read_bytes())
    assert read(inside) == read(file_item(path.name, str(path)))


def test_a_second_pass_starts_at_the_first_byte(make_video, tmp_path: pathlib.Path) -> None:
    shown = [0, 2, 1, 3, 5, 4, 6, 7]
    path = make_video("a.mkv", [20 * time for time in shown], shown=shown)
    inside = in_the_middle(tmp_path / "b.tar", "video", path.read_bytes())
    assert read(inside) == read(file_item(path.name, str(path)))


def test_an_image_within_a_file_is_that_image(tmp_path: pathlib.Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    inside = in_the_middle(tmp_path / "b.tar", "image", (tmp_path / "a.png").read_bytes())
    np.testing.assert_array_equal(read_item_image(inside, 16, 10**6), pixels)


def test_errors_name_the_member_and_not_the_folder(tmp_path: pathlib.Path) -> None:
    broken = in_the_middle(tmp_path / "b.tar", "image", b"just some text")
    with pytest.raises(DataError, match="^ximage is not an image"):
        read_item_image(broken, 16, 10**6)
    with pytest.raises(DataError, match="^ximage can't be decoded as a video"):
        read(broken)
    gone = MediaItem("c.tar/x.png", "image", None, str(tmp_path / "c.tar"), 9, None, 0)
    with pytest.raises(DataError, match="^c.tar/x.png can't be read: c.tar: No such file") as caught:
        read_item_image(gone, 16, 10**6)
    assert str(tmp_path) not in str(caught.value)
