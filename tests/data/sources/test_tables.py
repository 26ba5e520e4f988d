import csv
import json
import pathlib

import pytest

from tests.data.sources.trees import touch
from tests.data.whole_job import pretokenize
from toto_jax.data.media import MediaItem
from toto_jax.data.sources.registry import list_media
from toto_jax.errors import DataError

HEADER = ["label", "youtube_id", "time_start", "time_end", "split"]


def write_csv(path: pathlib.Path, *rows: list) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def shown(items: list[MediaItem], root: pathlib.Path) -> list[tuple[str, str, str | None, str | None]]:
    paths = [pathlib.Path(item.path).relative_to(root).as_posix() for item in items]
    return [(item.name, path, item.label, item.split) for item, path in zip(items, paths, strict=True)]


def test_kinetics_as_its_archives_and_its_tools_leave_it(tmp_path: pathlib.Path, data_config) -> None:
    touch(
        tmp_path,
        "train/-3B32lodo2M_000059_000069.mp4",  # flat
        "train/riding_a_bike/ab_000001_000011.mp4",  # in class folders
        "videos/cd_7_17.webm",
        "val/efghijklmno.mkv",  # by the id alone
        "train/damaged_000000_000010.mp4",
        "replacement/replacement_for_corrupted_k400/damaged_000000_000010.mp4",
        "train/unlisted_000000_000010.mp4",
    )
    write_csv(
        tmp_path / "annotations" / "train.csv",
        HEADER,
        ["clay pottery making", "-3B32lodo2M", 59, 69, "train"],
        ["riding a bike", "ab", 1, 11, "train"],
        ["riding a bike", "cd", "7.0", "17.0", "train"],
        ["riding a bike", "damaged", 0, 10, "train"],
        ["it's, so to say, gone", "gone", 0, 10, "train"],
    )
    # The older form: no column for the split, more columns behind.
    write_csv(
        tmp_path / "annotations" / "val.csv",
        ["label", "youtube_id", "time_start", "time_end", "is_cc"],
        ["clay pottery making", "efghijklmno", 3, 13, 0],
    )
    annotations = ("annotations/train.csv", str(tmp_path / "annotations" / "val.csv"))
    data = data_config(tmp_path, layout="kinetics", annotations=annotations, labels="layout")
    items = list_media(data, 0)
    replaced = "replacement/replacement_for_corrupted_k400/damaged_000000_000010.mp4"
    bike, clay = "riding a bike", "clay pottery making"
    assert shown(items, tmp_path) == [
        ("-3B32lodo2M_000059_000069", "train/-3B32lodo2M_000059_000069.mp4", clay, "train"),
        ("ab_000001_000011", "train/riding_a_bike/ab_000001_000011.mp4", bike, "train"),
        ("cd_000007_000017", "videos/cd_7_17.webm", bike, "train"),
        ("damaged_000000_000010", replaced, bike, "train"),
        ("efghijklmno_000003_000013", "val/efghijklmno.mkv", clay, "validation"),
        ("gone_000000_000010", "gone_000000_000010.mp4", "it's, so to say, gone", "train"),
    ]
    assert [item.size for item in items] == [3, 3, 3, 3, 3, 0]
    unlabelled = list_media(data_config(tmp_path, layout="kinetics", annotations=annotations), 0)
    assert {item.label for item in unlabelled} == {None}


@pytest.mark.parametrize("table", ["manifest.csv", "ego4d.json"])
def test_ego4d_by_its_manifest_or_its_metadata(tmp_path: pathlib.Path, table: str, data_config) -> None:
    uids = ["002ad105-bd9a", "000f9c2e-5b3c", "ffff0000-gone"]
    touch(tmp_path / "v2", "full_scale/002ad105-bd9a.mp4", "full_scale/deeper/000f9c2e-5b3c.mp4")
    folder = tmp_path / "v2" / "full_scale"
    write_csv(
        folder / "manifest.csv",
        ["video_uid", "duration_sec", "canonical_s3_location"],
        *([u, 9, "s3://"] for u in uids),
    )
    videos = [{"video_uid": uid, "duration_sec": 9.5, "split_em": "train"} for uid in uids]
    (folder / "ego4d.json").write_text(json.dumps({"date": "220809", "version": "2", "videos": videos}))
    items = list_media(data_config(folder, layout="ego4d", annotations=(table,)), 0)
    assert shown(items, folder) == [
        ("000f9c2e-5b3c", "deeper/000f9c2e-5b3c.mp4", None, None),
        ("002ad105-bd9a", "002ad105-bd9a.mp4", None, None),
        ("ffff0000-gone", "ffff0000-gone.mp4", None, None),
    ]


def test_howto100m_with_any_extension_and_rows_that_repeat(tmp_path: pathlib.Path, data_config) -> None:
    touch(tmp_path, "videos/a/nVbIUDjzWY4.mkv", "videos/b/-0w.9_x.webm", "videos/b/part.mp4.part")
    write_csv(
        tmp_path / "HowTo100M_v1.csv",
        ["video_id", "category_1", "category_2", "rank", "task_id"],
        ["nVbIUDjzWY4", "Cars & Other Vehicles", "Motorcycles", 27, 52907],
        ["-0w.9_x", "Food and Entertaining", "Drinks", 1, 3],
        ["nVbIUDjzWY4", "Cars & Other Vehicles", "Motorcycles", 3, 9],
        ["part", "Food and Entertaining", "Drinks", 1, 3],
    )
    data = data_config(
        tmp_path / "videos", layout="howto100m", annotations=("../HowTo100M_v1.csv",), labels="layout"
    )
    assert shown(list_media(data, 0), tmp_path / "videos") == [
        ("-0w.9_x", "b/-0w.9_x.webm", "Food and Entertaining", None),
        ("nVbIUDjzWY4", "a/nVbIUDjzWY4.mkv", "Cars & Other Vehicles", None),
        ("part", "part.mp4", "Food and Entertaining", None),
    ]
    write_csv(tmp_path / "videos" / "howto100m_videos.csv", ["video_path"], ["nVbIUDjzWY4.webm"])
    data = data_config(tmp_path / "videos", layout="howto100m", annotations=("howto100m_videos.csv",))
    assert [(item.name, item.size) for item in list_media(data, 0)] == [("nVbIUDjzWY4", 3)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["name", "label"], ["a", "b"]], "has the columns name, label; wanted: youtube_id, time_start and"),
        ([["youtube_id", "label"], ["a", "b"]], "wanted: youtube_id, time_start and time_end"),
        ([HEADER, ["x", "a", "soon", "later", ""]], "has a row of a without whole seconds"),
        ([HEADER], "list.csv has no rows; it should be the official lists with label,youtube_id"),
        (
            [HEADER, ["x", "a", 1, 2, ""]],
            r"None of the 1 videos .*files like a_000001_000002.mp4, found 2 files",
        ),
    ],
)
def test_a_table_that_does_not_fit_is_told(
    tmp_path: pathlib.Path, rows: list, message: str, data_config
) -> None:
    touch(tmp_path, "b_000001_000002.mp4")
    write_csv(tmp_path / "list.csv", *rows)
    with pytest.raises(DataError, match=message):
        list_media(data_config(tmp_path, layout="kinetics", annotations=("list.csv",)), 0)
    (tmp_path / "ego4d.json").write_text("{")
    with pytest.raises(DataError, match="ego4d.json is not JSON"):
        list_media(data_config(tmp_path, layout="ego4d", annotations=("ego4d.json",)), 0)


def kinetics_job(make_video, tmp_path: pathlib.Path, there: int, missing: int) -> None:
    for number in range(there):
        make_video(f"media/v{number}_000000_000010.mp4", [20 * k for k in range(8)])
    rows = [["a", f"v{number}", 0, 10, "train"] for number in range(there + missing)]
    write_csv(tmp_path / "media" / "train.csv", HEADER, *rows)


def test_missing_videos_are_counted_and_listed(
    make_video, tmp_path: pathlib.Path, clips_config, data_config, decoding
) -> None:
    kinetics_job(make_video, tmp_path, there=4, missing=3)
    data = data_config(tmp_path / "media", layout="kinetics", annotations=("train.csv",))
    manifests = pretokenize(data, clips_config(), decoding, None, tmp_path / "out", 0)
    assert (manifests["train"].records, manifests["train"].rejected) == (4, 3)
    assert manifests["validation"].records == 0
    ledger = (tmp_path / "out" / "train" / "rejected.jsonl").read_text().splitlines()
    name = "v{}_000000_000010"
    assert [json.loads(line) for line in ledger] == [
        {"source": name.format(number), "reason": f"{name.format(number)}.mp4 does not exist"}
        for number in (4, 5, 6)
    ]


def test_more_than_half_missing_stop_the_job(
    make_video, tmp_path: pathlib.Path, clips_config, data_config, decoding
) -> None:
    kinetics_job(make_video, tmp_path, there=2, missing=3)
    data = data_config(tmp_path / "media", layout="kinetics", annotations=("train.csv",))
    with pytest.raises(
        DataError, match="3 of 5 inputs, more than half.*\n  v2_000000_000010.mp4 does not exist"
    ):
        pretokenize(data, clips_config(), decoding, None, tmp_path / "out", 0)
