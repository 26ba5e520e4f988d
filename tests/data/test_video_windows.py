"""Long videos as streams of clips; the frames' greys say which they are."""

import itertools
import pathlib
from collections.abc import Callable

import numpy as np
import pytest

from toto_jax.data import clip_cutting
from toto_jax.data.clip_cutting import Clip, cut_clips
from toto_jax.data.clips import ClipsConfig
from toto_jax.data.media import file_item
from toto_jax.errors import ConfigError, DataError

Cut = Callable[..., list[Clip]]


@pytest.fixture
def cut(clips_config) -> Cut:
    def build(path: pathlib.Path, seed: int = 0, **changes: float) -> list[Clip]:
        config = clips_config(**{"every_seconds": 1.0, "frames": 3, "stride": 2} | changes)
        return list(cut_clips(file_item(path.name, str(path)), 7, config, seed))

    return build


def greys(clip: Clip) -> list[int]:
    return clip.video_FHWC[:, 8, 8, 0].tolist()


def test_each_whole_stretch_gives_one_clip_that_lies_within_it(make_video, cut: Cut) -> None:
    path = make_video("a.mkv", list(range(64)), rate=10)  # six stretches of ten frames, and four frames more
    clips = cut(path)
    assert len(clips) == 6
    for number, clip in enumerate(clips):
        first = clip.record.frame_indices[0]
        assert clip.record.frame_indices == (first, first + 2, first + 4)
        assert 10 * number <= first <= 10 * number + 5
        np.testing.assert_allclose(greys(clip), clip.record.frame_indices, atol=1)
        assert clip.record.start_seconds == pytest.approx(first / 10)
        assert (clip.record.frames_per_second, clip.record.clip_rate) == (10.0, 5.0)
        assert clip.record.labels == (7,)
    starts = {tuple(clip.record.frame_indices[0] % 10 for clip in cut(path, seed)) for seed in range(4)}
    assert len(starts) == 4
    assert [greys(clip) for clip in cut(path)] == [greys(clip) for clip in clips]


def test_stretches_shorter_than_a_clip_follow_one_another(make_video, cut: Cut) -> None:
    clips = cut(make_video("a.mkv", list(range(33)), rate=10), every_seconds=0.1)
    assert [clip.record.frame_indices for clip in clips] == [(k, k + 2, k + 4) for k in range(0, 30, 5)]


def test_a_video_shorter_than_a_stretch_is_cut_as_a_whole(make_video, cut: Cut) -> None:
    path = make_video("a.mkv", list(range(4)), rate=10)
    (clip,) = cut(path)
    assert [greys(one) for one in cut(path, every_seconds=0.0)] == [greys(clip)]
    with pytest.raises(DataError, match="b.mkv has 2 frames, but a clip needs 3"):
        cut(make_video("b.mkv", [1, 2], rate=10))


def test_four_hours_are_cut_with_a_clip_in_memory_at_a_time(
    make_video, clips_config, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video("long.mp4", frames=_slowly(3_600), rate=0.25)
    config: ClipsConfig = clips_config(every_seconds=60.0, frames=8, stride=2)
    resized, prepared = clip_cutting._resized, []

    def watched(*arguments: object) -> np.ndarray:
        prepared.append(1)
        return resized(*arguments)

    monkeypatch.setattr(clip_cutting, "_resized", watched)
    seen = [len(prepared) for _ in cut_clips(file_item("long.mp4", str(path)), None, config, 0)]
    assert seen == [8 * (number + 1) for number in range(240)], "frames were kept before their clip's turn"


def _slowly(count: int):
    frame = np.zeros((16, 24, 3), np.uint8)
    return itertools.repeat(frame, count)


def test_what_comes_before_damage_is_kept(make_video, clips_config, tmp_path: pathlib.Path) -> None:
    path = make_video("a.mkv", frames=_noise(60), rate=10)
    (tmp_path / "cut.mkv").write_bytes(path.read_bytes()[: int(0.6 * path.stat().st_size)])
    config = clips_config(every_seconds=1.0, frames=3)
    clips = cut_clips(file_item("cut.mkv", str(tmp_path / "cut.mkv")), None, config, 0)
    before = list(itertools.islice(clips, 3))
    assert [clip.record.frame_indices[0] // 10 for clip in before] == [0, 1, 2]
    with pytest.raises(DataError, match=r"cut.mkv breaks after 3\d frames"):
        list(clips)


def _noise(count: int):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (32, 48, 3), dtype=np.uint8) for _ in range(count)]


def test_no_more_frames_are_decoded_than_allowed(make_video, clips_config) -> None:
    path = make_video("a.mkv", list(range(60)), rate=10)
    for every_seconds, before in ((1.0, 3), (0.0, 0)):
        config = clips_config(every_seconds=every_seconds, max_frames=35, frames=3)
        clips = cut_clips(file_item("a.mkv", str(path)), None, config, 0)
        assert len(list(itertools.islice(clips, before))) == before
        with pytest.raises(
            DataError, match="a.mkv breaks after 35 frames: config.clips.max_frames allows no"
        ):
            list(clips)


def test_frames_out_of_order_and_without_a_rate_are_told(
    make_video, cut: Cut, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video("a.mkv", list(range(20)), rate=10, shown=[1, 0, *range(2, 20)])
    with pytest.raises(DataError, match="a.mkv breaks after 1 frames: stores its frames in another order"):
        cut(path)
    monkeypatch.setattr("toto_jax.data.video_file._rate", lambda stream: None)
    with pytest.raises(DataError, match="a.mkv tells no frame rate; set config.clips.per_video"):
        cut(path)


def test_pictures_are_cut_as_ever(make_video, clips_config, tmp_path: pathlib.Path) -> None:
    from PIL import Image

    (tmp_path / "frames").mkdir()
    for number in range(12):
        Image.new("L", (20, 20), number).save(tmp_path / "frames" / f"{number}.png")
    item = file_item("frames", str(tmp_path / "frames"))
    assert len(list(cut_clips(item, None, clips_config(every_seconds=1.0), 0))) == 1
    assert clip_cutting.is_video_file(file_item("a.mkv", str(tmp_path / "a.mkv")))


def test_both_ways_at_once_are_refused(clips_config) -> None:
    with pytest.raises(
        ConfigError, match=r"every_seconds=2.0 must be 0 .* or above 0 with per_video=1 \(it is 3\)"
    ):
        clips_config(every_seconds=2.0, per_video=3)
    with pytest.raises(ConfigError, match="every_seconds=-1.0 must be 0"):
        clips_config(every_seconds=-1.0)
