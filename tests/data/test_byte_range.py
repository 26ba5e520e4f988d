import io
import pathlib

import pytest

from toto_jax.data.byte_range import ByteRange


@pytest.fixture
def whole(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "whole"
    path.write_bytes(bytes(range(100)))
    return path


def test_a_part_reads_and_seeks_like_a_file_of_its_own(whole: pathlib.Path) -> None:
    alone = io.BytesIO(bytes(range(30, 50)))
    with io.BufferedReader(ByteRange(str(whole), 30, 20, "part"), buffer_size=7) as part:
        assert part.name == "part"
        for place, whence, amount in ((0, 0, 5), (3, 1, 30), (-4, 2, 2), (40, 0, 3), (0, 0, -1)):
            assert part.seek(place, whence) == alone.seek(place, whence)
            assert part.read(amount) == alone.read(amount)
            assert part.tell() == alone.tell()
        with pytest.raises(ValueError, match="-3"):
            part.seek(-3)


def test_parts_of_one_file_do_not_disturb_each_other(whole: pathlib.Path) -> None:
    first, second = ByteRange(str(whole), 0, 10, "a"), ByteRange(str(whole), 50, 10, "b")
    assert [first.read(2), second.read(2), first.read(2), second.read(2)] == [
        b"\0\1",
        b"23",
        b"\2\3",
        b"45",
    ]
    first.close()
    first.close()
    assert second.read(1) == b"6"
    second.close()
