import pathlib
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from toto_jax.data.image_reader import read_image
from toto_jax.errors import DataError


def read(path: pathlib.Path, max_pixels: int = 64_000_000) -> np.ndarray:
    image = read_image(path, size=64, max_pixels=max_pixels)
    assert image.mode == "RGB"
    return np.asarray(image)


def test_grey_becomes_three_equal_colours(tmp_path: pathlib.Path) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(grey).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png"), np.stack([grey] * 3, axis=-1))


def test_sixteen_bit_greys_keep_their_scale(tmp_path: pathlib.Path) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png")[..., 1], grey)


def test_palettes_and_transparency_become_what_one_sees_on_paper(tmp_path: pathlib.Path) -> None:
    colours = np.zeros((1, 3, 4), np.uint8)
    colours[0] = [[200, 10, 30, 255], [200, 10, 30, 0], [0, 0, 0, 51]]
    Image.fromarray(colours).save(tmp_path / "a.png")
    opaque, hidden, fifth_of_black = [200, 10, 30], [255, 255, 255], [204, 204, 204]
    np.testing.assert_array_equal(read(tmp_path / "a.png"), [[opaque, hidden, fifth_of_black]])
    palette = Image.fromarray(np.array([[0, 1]], np.uint8))
    palette.putpalette([9, 8, 7, 200, 100, 50])
    palette.save(tmp_path / "b.gif")
    np.testing.assert_array_equal(read(tmp_path / "b.gif"), [[[9, 8, 7], [200, 100, 50]]])


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (6, -1), (3, 2), (8, 1)])
def test_exif_orientation_is_applied(tmp_path: pathlib.Path, orientation: int, turns: int) -> None:
    stored = np.random.default_rng(0).integers(0, 255, (4, 6, 3), dtype=np.uint8)
    image = Image.fromarray(stored)
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read(tmp_path / "a.png"), np.rot90(stored, turns))


def test_a_wide_image_is_refused_with_its_size(tmp_path: pathlib.Path) -> None:
    Image.new("1", (20_000, 4_000)).save(tmp_path / "wide.png")
    with pytest.raises(DataError, match=r"wide.png is 20000x4000 = 80,000,000 pixels large"):
        read(tmp_path / "wide.png")
    Image.new("L", (20_000, 100)).save(tmp_path / "banner.png")
    assert read(tmp_path / "banner.png").shape == (100, 20_000, 3)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_a_bomb_meets_our_limit_and_no_warning(tmp_path: pathlib.Path) -> None:
    """Pillow warns from 89 and refuses from 179 million pixels, each in its own way."""
    warnings.simplefilter("error")
    for side in (10_000, 60_000):
        header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
        start = png_chunk(b"IDAT", zlib.compress(bytes(100)))
        (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + start)
        with pytest.raises(DataError, match=rf"bomb.png is {side}x{side} = "):
            read(tmp_path / "bomb.png")


def test_broken_files_are_refused_by_name(tmp_path: pathlib.Path) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    noise.save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:1000])
    (tmp_path / "text.jpg").write_text("just some text")
    with pytest.raises(DataError, match="cut.jpg can't be decoded: .*truncated"):
        read(tmp_path / "cut.jpg")
    with pytest.raises(DataError, match="text.jpg is not an image"):
        read(tmp_path / "text.jpg")
    with pytest.raises(DataError, match="gone.jpg does not exist"):
        read(tmp_path / "gone.jpg")


def test_real_photos_are_read(shared_data: pathlib.Path) -> None:
    assert read(shared_data / "skimage-images" / "astronaut.png").shape == (512, 512, 3)


def test_an_error_of_the_system_is_told_without_the_folder(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"

    def refuse(source: pathlib.Path) -> None:
        raise PermissionError(13, "Permission denied", str(source))

    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(DataError, match="^a.png can't be decoded: Permission denied$"):
        read(path)
