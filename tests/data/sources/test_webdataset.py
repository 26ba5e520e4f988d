import io
import json
import pathlib
import tarfile

import numpy as np
import pytest
from PIL import Image

from tests.data.whole_job import pretokenize
from toto_jax.data.manifest import clip_index
from toto_jax.data.shard_reader import read_clips
from toto_jax.data.sources.registry import list_media
from toto_jax.errors import DataError


def png(grey: int) -> bytes:
    content = io.BytesIO()
    Image.new("L", (20, 30), grey).save(content, "png")
    return content.getvalue()


def write_tar(path: pathlib.Path, members: dict[str, bytes], form: int = tarfile.GNU_FORMAT) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def test_members_are_items_with_the_class_of_their_key(tmp_path: pathlib.Path, data_config) -> None:
    deep = "a" * 120 + "/0004.jpg"  # longer than a plain header holds
    write_tar(
        tmp_path / "imagenet-train-000000.tar",
        {
            "./0001.jpg": b"one",
            "./0001.cls": b"12\n",
            "0002.JSON": b"no label file by this name",
            "0002.mp4": b"video",
            "0002.json": json.dumps({"label": 3, "caption": "x"}).encode(),
            "0003.input.png": b"",
            "0003.cls": b"7",
            "0003.txt": b"a caption",
            "sub/0001.webp": b"another key",
            "._0001.jpg": b"a file manager's",
            deep: b"deep",
        },
        tarfile.PAX_FORMAT,
    )
    write_tar(tmp_path / "val" / "000000.tar", {"a.jpg": b"val"})
    items = list_media(data_config(tmp_path, layout="webdataset", labels="layout"), 0)
    tar = "imagenet-train-000000.tar"
    assert [(item.name, item.kind, item.label, item.split) for item in items] == [
        (f"{tar}/0001.jpg", "image", "12", "train"),
        (f"{tar}/0002.mp4", "video", "3", "train"),
        (f"{tar}/0003.input.png", "image", "7", "train"),
        (f"{tar}/{deep}", "image", None, "train"),
        (f"{tar}/sub/0001.webp", "image", None, "train"),
        ("val/000000.tar/a.jpg", "image", None, "validation"),
    ]
    contents = [pathlib.Path(item.path).read_bytes()[item.offset :][: item.size] for item in items]
    assert contents == [b"one", b"video", b"", b"deep", b"another key", b"val"]
    assert {item.label for item in list_media(data_config(tmp_path, layout="webdataset"), 0)} == {None}


def test_videos_and_images_are_read_where_they_lie(
    make_video, tmp_path: pathlib.Path, clips_config, data_config, decoding
) -> None:
    greys = [20 * k for k in range(10)]
    members = {f"{number}.png": png(30 * number) for number in range(4)}
    for extension in (".mp4", ".mov", ".mkv", ".gif"):
        members[f"clip{extension}"] = make_video(f"clip{extension}", greys, rate=12.5).read_bytes()
    write_tar(tmp_path / "media.tar", members)
    data = data_config(tmp_path / "media.tar", layout="webdataset")
    clips = clips_config(validation_percent=0.0, files_per_shard=4)
    manifest = pretokenize(data, clips, decoding, None, tmp_path / "out", 0)["train"]
    assert (manifest.records, manifest.rejected) == (5, 0)
    clips = read_clips(tmp_path / "out" / "train", manifest)
    for clip, record in zip(clips, clip_index(tmp_path / "out" / "train", manifest), strict=True):
        if record.kind == "video":
            expected = 20 * np.array(record.frame_indices)
            assert record.frames_per_second == pytest.approx(12.5, rel=0.01)
        else:
            expected = [30 * int(pathlib.PurePath(source).stem) for source in record.sources]
        np.testing.assert_allclose(clip.mean((1, 2, 3)), expected, atol=4)


@pytest.mark.parametrize("damage", ["cut in a member", "cut in a header", "no header", "no tar"])
def test_a_tar_that_breaks_off_gives_what_comes_before(
    tmp_path: pathlib.Path, damage: str, clips_config, data_config, decoding
) -> None:
    write_tar(tmp_path / "a.tar", {f"{number}.png": png(number) for number in range(8)})
    items = list_media(data_config(tmp_path, layout="webdataset"), 0)
    last = items[-1]
    content = bytearray((tmp_path / "a.tar").read_bytes())
    if damage == "no header":
        content[last.offset - 512 : last.offset] = b"x" * 512
    else:
        content = content[
            : {"cut in a member": last.offset + 9, "cut in a header": last.offset - 99}.get(damage, 9)
        ]
    (tmp_path / "b.tar").write_bytes(content)
    data = data_config(tmp_path, layout="webdataset")
    manifest = pretokenize(data, clips_config(validation_percent=0.0), decoding, None, tmp_path / "out", 0)[
        "train"
    ]
    lines = (tmp_path / "out" / "train" / "rejected.jsonl").read_text().splitlines()
    reasons = {entry["source"]: entry["reason"] for entry in map(json.loads, lines)}
    expected = {"b.tar/..."} | ({"b.tar/7.png"} if damage == "cut in a member" else set())
    assert set(reasons) == expected
    assert f"b.tar is cut off after {len(content):,} bytes" in reasons["b.tar/..."]
    assert manifest.rejected == len(reasons)
    sources = {
        source for record in clip_index(tmp_path / "out" / "train", manifest) for source in record.sources
    }
    kept = 0 if damage == "no tar" else 7
    assert sources == {item.name for item in items} | {f"b.tar/{number}.png" for number in range(kept)}


def test_what_tars_lack_is_told(tmp_path: pathlib.Path, data_config) -> None:
    (tmp_path / "train.tar.gz").write_bytes(b"")
    with pytest.raises(DataError, match=r"no .tar files .*\(1 of .gz\); train.tar.gz is compressed: unpack"):
        list_media(data_config(tmp_path, layout="webdataset"), 0)
    write_tar(tmp_path / "a.tar", {"x.txt": b"", "y.txt": b"", "x.cls": b"1"})
    with pytest.raises(DataError, match=r"no videos or images; they have 3 files \(2 of .txt, 1 of .cls\)"):
        list_media(data_config(tmp_path, layout="webdataset"), 0)
