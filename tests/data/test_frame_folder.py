import pathlib

import numpy as np
import pytest
from PIL import Image

from toto_jax.data.clip_cutting import cut_clips
from toto_jax.data.frame_folder import read_frame_folder
from toto_jax.data.sources.registry import list_media
from toto_jax.errors import DataError


def write_frames(folder: pathlib.Path, names: list[str], greys: list[int]) -> None:
    folder.mkdir(parents=True)
    for name, grey in zip(names, greys, strict=True):
        Image.fromarray(np.full((32, 48, 3), grey, np.uint8)).save(folder / name)


def read(folder: pathlib.Path, wanted: list[int], frames: int = 0, max_frames: int = 1000) -> list[int]:
    def choose(count: int) -> list[int]:
        if count < frames:
            raise DataError(f"has {count} frames")
        return wanted

    video = read_frame_folder(folder, choose, np.asarray, 16, 10**6, max_frames)
    return [int(video.frames[index].mean()) for index in wanted]


def test_frames_come_in_the_order_of_their_numbers(tmp_path: pathlib.Path) -> None:
    write_frames(tmp_path / "v", ["frame10.png", "frame9.png", "frame100.png"], [10, 9, 100])
    (tmp_path / "v" / "notes.txt").write_text("not a frame")
    (tmp_path / "v" / ".frame1.png").write_bytes(b"hidden")
    assert read(tmp_path / "v", [0, 1, 2]) == [9, 10, 100]


def test_a_folder_in_a_list_is_one_video(tmp_path: pathlib.Path, clips_config, data_config) -> None:
    write_frames(tmp_path / "cars" / "drift", [f"{n:05}.jpg" for n in range(20)], [10 * n for n in range(20)])
    (tmp_path / "list.txt").write_text("cars/drift\n")
    (item,) = list_media(data_config(tmp_path / "list.txt", labels="layout"), 0)
    assert (item.name, item.kind, item.label) == ("cars/drift", "video", "cars")
    assert item.size == 20
    (clip,) = cut_clips(item, 0, clips_config(), seed=0)
    indices = np.array(clip.record.frame_indices)
    np.testing.assert_array_equal(np.diff(indices), 2)
    np.testing.assert_allclose(clip.video_FHWC.mean((1, 2, 3)), 10 * indices, atol=2)
    assert (clip.record.frames_per_second, clip.record.start_seconds) == (None, None)


def test_what_is_wrong_with_a_folder_is_told_with_its_name(tmp_path: pathlib.Path) -> None:
    write_frames(tmp_path / "short", ["0.png"], [5])
    with pytest.raises(DataError, match="short has 1 frames"):
        read(tmp_path / "short", [0], frames=4)
    (tmp_path / "short" / "1.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="short has 2 frames; config.clips.max_frames allows 1"):
        read(tmp_path / "short", [0], max_frames=1)
    assert read(tmp_path / "short", [0], max_frames=2) == [5]
    with pytest.raises(DataError, match="^gone can't be listed: No such file or directory$"):
        read(tmp_path / "gone", [0])
    with pytest.raises(DataError, match="short 1.png is not an image"):
        read(tmp_path / "short", [0, 1])
