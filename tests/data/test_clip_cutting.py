import dataclasses
import pathlib

import numpy as np
import pytest
from PIL import Image

from toto_jax.data.clip_cutting import cut_clips, join_images
from toto_jax.data.clips import resize_shortest_side
from toto_jax.data.media import MediaItem
from toto_jax.data.synthetic import render_clip
from toto_jax.errors import DataError


def item(path: pathlib.Path, kind: str = "video") -> MediaItem:
    return MediaItem(path.name, kind, None, str(path), 0)


def test_a_video_gives_clips_of_the_frames_that_its_record_names(make_video, clips_config) -> None:
    path = make_video("a.mkv", [10 * k for k in range(25)], rate=12.5)
    clips = list(cut_clips(item(path), 3, clips_config(per_video=6), seed=0))
    assert len(clips) == 6
    assert len({clip.record.frame_indices for clip in clips}) > 1
    for clip in clips:
        assert clip.video_FHWC.shape == (4, 16, 16, 3)
        assert clip.video_FHWC.dtype == np.uint8
        indices = np.array(clip.record.frame_indices)
        np.testing.assert_array_equal(np.diff(indices), 2)
        np.testing.assert_allclose(clip.video_FHWC.mean((1, 2, 3)), 10 * indices, atol=3)
        assert clip.record.start_seconds == pytest.approx(indices[0] / 12.5, abs=0.001)
        assert clip.record.frames_per_second == pytest.approx(12.5, rel=0.001)
        assert (clip.record.sources, clip.record.labels, clip.record.kind) == (("a.mkv",), (3,), "video")


def test_all_frames_of_a_clip_share_one_crop_of_the_resized_frame(make_video, clips_config) -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, 120, dtype=np.uint8)[None, :, None], (40, 120, 3))
    path = make_video("a.mkv", frames=[ramp] * 8)
    resized = np.asarray(resize_shortest_side(Image.fromarray(np.ascontiguousarray(ramp)), 16)).astype(int)
    assert resized.shape == (16, 48, 3)
    clips = list(cut_clips(item(path), None, clips_config(per_video=8), seed=1))
    lefts = set()
    for clip in clips:
        ((top, left),) = clip.record.crops
        lefts.add(left)
        assert top == 0
        expected = np.broadcast_to(resized[:, left : left + 16], clip.video_FHWC.shape)
        np.testing.assert_allclose(clip.video_FHWC, expected, atol=3)
    assert len(lefts) > 3


def test_portrait_videos_are_cropped_along_their_height(make_video, clips_config) -> None:
    clips = cut_clips(
        item(make_video("a.mp4", [9] * 8, shape=(64, 32))), None, clips_config(per_video=8), seed=0
    )
    corners = [clip.record.crops[0] for clip in clips]
    assert {left for _, left in corners} == {0}
    assert max(top for top, _ in corners) > 0


def test_draws_follow_seed_name_and_number_only(make_video, clips_config) -> None:
    path = make_video("a.mkv", [5 * k for k in range(40)])

    def records(seed: int, name: str, count: int) -> list:
        renamed = dataclasses.replace(item(path), name=name)
        return [clip.record for clip in cut_clips(renamed, None, clips_config(per_video=count), seed)]

    assert records(0, "a.mkv", 5) == records(0, "a.mkv", 5)
    assert records(0, "a.mkv", 5)[:3] == records(0, "a.mkv", 3)
    frames = [
        [one.frame_indices for one in records(*key, 5)] for key in ((0, "a.mkv"), (1, "a.mkv"), (0, "b.mkv"))
    ]
    assert frames[0] != frames[1]
    assert frames[0] != frames[2]


def test_short_videos(make_video, clips_config) -> None:
    (clip,) = list(cut_clips(item(make_video("a.mp4", [0, 60, 120, 180, 240])), None, clips_config(), seed=0))
    np.testing.assert_array_equal(np.diff(clip.record.frame_indices), 1)
    with pytest.raises(DataError, match="b.mp4 has 1 frame, but a clip needs 4"):
        list(cut_clips(item(make_video("b.mp4", [0])), None, clips_config(), seed=0))


def test_an_image_gives_one_crop(tmp_path: pathlib.Path, clips_config) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (16, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (clip,) = list(cut_clips(item(tmp_path / "a.png", "image"), 2, clips_config(), seed=0))
    ((top, left),) = clip.record.crops
    assert top == 0
    np.testing.assert_array_equal(clip.video_FHWC, pixels[None, :, left : left + 16])
    row = join_images([clip] * 4)
    assert row.video_FHWC.shape == (4, 16, 16, 3)
    assert row.record.start_seconds is None
    assert (row.record.sources, row.record.labels) == (("a.png",) * 4, (2,) * 4)


def test_a_synthetic_clip_is_rendered_at_the_size_asked_for(clips_config) -> None:
    named = MediaItem("left/0000003", "video", "left", None, 0)
    (clip,) = list(cut_clips(named, 3, clips_config(size=24, frames=5), seed=7))
    np.testing.assert_array_equal(clip.video_FHWC, render_clip(7, 3, frames=5, size=24))
    assert clip.record.frame_indices == (0, 1, 2, 3, 4)


def test_rotated_videos_give_upright_clips(shared_data: pathlib.Path, clips_config) -> None:
    path = shared_data / "decoder-edge-cases" / "video_90.mov"
    config = clips_config(frames=3, size=64, per_video=4)
    assert {clip.record.crops[0][1] for clip in cut_clips(item(path), None, config, seed=0)} == {
        0
    }  # portrait
