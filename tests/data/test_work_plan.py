import json
import pathlib

import pytest

from toto_jax.data.media import MediaItem
from toto_jax.data.work_plan import SETTINGS, check_settings, plan_units, split_settings
from toto_jax.errors import DataError
from toto_jax.tokenizers.pixels import PixelsTokenizer


def items(kind: str, *names: str) -> list[MediaItem]:
    return [MediaItem(name, kind, None, name, 10) for name in names]


def settings_of(clips_config, media: list[MediaItem], seed: int = 0, **changes: int) -> dict:
    return split_settings(media, "none", [], clips_config(**changes), PixelsTokenizer.spec, seed)


def test_units_hold_one_kind_and_no_more_than_asked(clips_config) -> None:
    media = items("video", *"abcdefg") + items("image", "x", "y")
    plans = plan_units(pathlib.Path("out"), media, settings_of(clips_config, media), files_per_shard=3)
    assert [plan.stem for plan in plans] == ["video-00000", "video-00001", "video-00002", "image-00000"]
    assert ["".join(item.name for item in plan.items) for plan in plans[:3]] == ["abc", "def", "g"]
    assert {item.name for item in plans[3].items} == {"x", "y"}
    assert len({plan.digest for plan in plans}) == 4
    config = clips_config(per_video=5, frames=4)
    assert [plan.expected_clips(config) for plan in plans] == [15, 15, 5, 1]


def test_images_are_shuffled_over_the_whole_split_by_the_seed(clips_config) -> None:
    media = items("image", *(f"{number:03d}" for number in range(90)))

    def order(seed: int) -> list[str]:
        plans = plan_units(
            pathlib.Path(), media, settings_of(clips_config, media, seed=seed), files_per_shard=30
        )
        return [item.name for plan in plans for item in plan.items]

    assert order(0) == order(0) != order(1)
    assert sorted(order(0)) == [item.name for item in media]
    assert all(
        20 < sum(int(name) for name in order(0)[start : start + 30]) / 30 < 70 for start in (0, 30, 60)
    )


def test_digests_follow_everything_that_determines_a_unit(clips_config) -> None:
    media = items("video", "a", "b")
    larger = [media[0], MediaItem("b", "video", None, media[1].path, 11)]
    labelled = [media[0], MediaItem("b", "video", "run", media[1].path, 10)]
    digests = {
        plan_units(pathlib.Path(), chosen, settings, 5)[0].digest
        for chosen in (media, larger, labelled)
        for settings in (settings_of(clips_config, media), settings_of(clips_config, media, size=32))
    }
    assert len(digests) == 6


def test_a_folder_of_other_settings_is_refused_with_the_differences(
    tmp_path: pathlib.Path, clips_config
) -> None:
    media = items("video", "a", "b")
    old = settings_of(clips_config, media)
    check_settings(tmp_path / "new", old)
    (tmp_path / SETTINGS).write_text(json.dumps(old))
    check_settings(tmp_path, old)
    with pytest.raises(DataError) as caught:
        check_settings(tmp_path, settings_of(clips_config, media[:1], size=32, seed=5))
    for line in ("clips.size: 16 -> 32", "seed: 0 -> 5", "inputs.count: 2 -> 1", "choose another folder"):
        assert line in str(caught.value)
    assert "clips.frames" not in str(caught.value)


def test_a_folder_of_something_else_is_left_alone(tmp_path: pathlib.Path, clips_config) -> None:
    wanted = settings_of(clips_config, items("video", "a"))
    (tmp_path / (SETTINGS + ".tmp")).write_text("{")  # of a job that was killed at once
    check_settings(tmp_path, wanted)
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(DataError, match=r"holds thesis.tex but no settings.json"):
        check_settings(tmp_path, wanted)
    (tmp_path / SETTINGS).write_text("{")
    with pytest.raises(DataError, match="settings.json is damaged"):
        check_settings(tmp_path, wanted)
