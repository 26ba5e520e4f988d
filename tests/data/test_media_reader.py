import dataclasses
import errno
import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from toto_jax.data.media import MediaItem, file_item
from toto_jax.data.media_reader import check_disk, read_item_image, read_item_video
from toto_jax.errors import DataError, StorageError


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


def test_what_was_there_and_is_gone_is_not_the_inputs_fault(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.png"
    for size in (None, 3):
        with pytest.raises(
            StorageError, match="a.png was there .* mount it again; if it was deleted, put it back"
        ):
            check_disk(MediaItem("a.png", "image", None, str(path), size))
    check_disk(MediaItem("a.png", "image", None, str(path), 0))  # a list named it in vain
    path.write_bytes(b"123")
    check_disk(MediaItem("a.png", "image", None, str(path), None))
    check_disk(MediaItem("up/0000001", "video", None, None, 0))  # synthetic
    with pytest.raises(StorageError, match="x.tar was there"):
        check_disk(MediaItem("x.tar/a.png", "image", None, str(tmp_path / "x.tar"), 9, None, 512))


def test_a_set_is_there_if_its_folder_is(tmp_path: pathlib.Path) -> None:
    item = MediaItem("tiny/train/0", "image", None, str(tmp_path / "1.0.0" / "train"), None, "train", None, 0)
    with pytest.raises(StorageError, match="1.0.0 was there when the inputs were listed, and is gone"):
        check_disk(item)
    (tmp_path / "1.0.0").mkdir()
    check_disk(item)


def test_pictures_of_a_video_that_are_gone_are_missed(tmp_path: pathlib.Path) -> None:
    (tmp_path / "drift").mkdir()
    for number in range(3):
        (tmp_path / "drift" / f"{number}.png").write_bytes(b"123")
    item = file_item("drift", str(tmp_path / "drift"))
    check_disk(item)
    (tmp_path / "drift" / "1.png").unlink()
    with pytest.raises(StorageError, match="drift held 3 pictures when the inputs were listed, and holds 2"):
        check_disk(item)


@pytest.mark.parametrize("code", [errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EIO, errno.EACCES])
def test_a_disk_that_is_away_is_told_from_a_file_that_cannot_be_read(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    (tmp_path / "a.mp4").write_bytes(b"123")
    item = file_item("a.mp4", str(tmp_path / "a.mp4"))
    reason = os.strerror(code)

    def fail(*arguments: object) -> None:
        raise OSError(code, reason)

    for call in ("open", "pread", "stat"):
        for one in (item, dataclasses.replace(item, size=0)):
            with monkeypatch.context() as patch:
                patch.setattr(os, call, fail)
                if code in (errno.EIO, errno.EACCES):
                    check_disk(one)
                    continue
                with pytest.raises(StorageError, match=f"a.mp4 can't be read: {reason}. If its disk is away"):
                    check_disk(one)


def test_a_pipe_is_not_waited_for(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")
    check_disk(file_item("a.mp4", str(tmp_path / "a.mp4"), look=False))
