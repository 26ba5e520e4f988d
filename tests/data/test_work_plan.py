import json
import pathlib

import pytest

from toto_jax.data.config import DataConfig
from toto_jax.data.media import MediaItem
from toto_jax.data.work_plan import (
    INPUTS,
    SETTINGS,
    begun_settings,
    check_settings,
    plan_units,
    split_settings,
    write_inputs,
    write_settings,
)
from toto_jax.errors import DataError
from toto_jax.tokenizers.pixels import PixelsTokenizer

DATA = DataConfig("media", "files", (), "none", "", "", {"media": 1}, 0, 1.0, (), 0, 1)


def items(kind: str, *names: str) -> list[MediaItem]:
    return [MediaItem(name, kind, None, name, 10) for name in names]


def settings_of(clips_config, media: list[MediaItem], seed: int = 0, **changes: int) -> dict:
    return split_settings(media, DATA, [], clips_config(**changes), PixelsTokenizer.spec, seed)


def test_units_hold_one_kind_and_no_more_than_asked(tmp_path: pathlib.Path, clips_config) -> None:
    media = items("video", *"abcdefg") + items("image", "x", "y")
    write_inputs(tmp_path, media, seed=0)
    plans = plan_units(tmp_path, settings_of(clips_config, media), files_per_shard=3)
    assert [plan.stem for plan in plans] == ["video-00000", "video-00001", "video-00002", "image-00000"]
    assert ["".join(item.name for item in plan.items()) for plan in plans[:3]] == ["abc", "def", "g"]
    assert {item.name for item in plans[3].items()} == {"x", "y"}
    assert len({plan.digest for plan in plans}) == 4
    assert [plan.count for plan in plans] == [3, 3, 1, 2]
    assert plans[1].items() == media[3:6]


def test_images_are_shuffled_over_the_whole_split_by_the_seed(tmp_path: pathlib.Path, clips_config) -> None:
    media = items("image", *(f"{number:03d}" for number in range(90)))

    def order(seed: int) -> list[str]:
        write_inputs(tmp_path, media, seed)
        plans = plan_units(tmp_path, settings_of(clips_config, media, seed=seed), files_per_shard=30)
        return [item.name for plan in plans for item in plan.items()]

    assert order(0) == order(0) != order(1)
    assert sorted(order(0)) == [item.name for item in media]
    assert all(
        20 < sum(int(name) for name in order(0)[start : start + 30]) / 30 < 70 for start in (0, 30, 60)
    )


def test_digests_follow_everything_that_determines_a_unit(tmp_path: pathlib.Path, clips_config) -> None:
    media = items("video", "a", "b")
    larger = [media[0], MediaItem("b", "video", None, media[1].path, 11)]
    labelled = [media[0], MediaItem("b", "video", "run", media[1].path, 10)]
    digests = set()
    for chosen in (media, larger, labelled):
        write_inputs(tmp_path, chosen, seed=0)
        for settings in (settings_of(clips_config, media), settings_of(clips_config, media, size=32)):
            digests.add(plan_units(tmp_path, settings, 5)[0].digest)
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


def test_inputs_that_others_listed_are_taken_as_they_are(tmp_path: pathlib.Path, clips_config) -> None:
    media = items("video", "a", "b") + [MediaItem("sky\udcff.mp4", "video", "blue", None, 0)]
    settings = settings_of(clips_config, media)
    choices = (DATA, clips_config(), PixelsTokenizer.spec)
    with pytest.raises(DataError, match="Nobody has begun to write shards"):
        begun_settings(tmp_path, *choices, 0)
    write_inputs(tmp_path, media, seed=0)
    write_settings(tmp_path, settings)
    assert begun_settings(tmp_path, *choices, 0) == settings
    plan = plan_units(tmp_path, settings, 5)[0]
    assert plan.items() == media
    with pytest.raises(DataError, match="seed: 0 -> 7"):
        begun_settings(tmp_path, *choices, 7)
    lines = (tmp_path / INPUTS).read_text().splitlines()
    (tmp_path / INPUTS).write_text(lines[0] + "\n")
    with pytest.raises(DataError, match="doesn't hold the inputs that settings.json counts"):
        plan_units(tmp_path, settings, 5)
    (tmp_path / INPUTS).write_text("{}\n")
    with pytest.raises(DataError, match="inputs.jsonl can't be read"):
        plan_units(tmp_path, settings, 5)
    with pytest.raises(DataError, match="inputs.jsonl can't be read .*choose another folder"):
        plan.items()
