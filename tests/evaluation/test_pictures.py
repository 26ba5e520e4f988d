import numpy as np
import pytest

from toto_jax.errors import ConfigError
from toto_jax.evaluation.pictures import Strip, contact_sheet, side_by_side, write_gif, write_mp4, write_png
from toto_jax.evaluation.results import Animation

PIL_Image = pytest.importorskip("PIL.Image")

RECORDED, GENERATED = (168, 173, 182), (0, 114, 178)


def flat_frames(colours, height=6, width=8):
    return np.stack([np.full((height, width, 3), colour, np.uint8) for colour in colours])


def cells(pixels_HWC, colour, axis=1):
    """Counts separate runs of a colour along an axis."""
    there = (pixels_HWC == np.array(colour)).all(-1).any(1 - axis)
    return int((np.diff(np.concatenate([[0], there.astype(int)])) == 1).sum())


def moving_square(frames=6, size=32):
    clip = np.full((frames, size, size, 3), (20, 60, 200), np.uint8)
    for frame in range(frames):
        clip[frame, 8:16, 3 * frame : 3 * frame + 8] = (250, 220, 30)
    return clip


def test_contact_sheet_holds_every_frame_in_its_border():
    truth = flat_frames([(255, 0, 0), (0, 255, 0), (255, 255, 0), (255, 0, 255)])
    sheet = contact_sheet([("truth", truth), Strip("Toto", truth, generated_from=3)], scale=2)
    assert sheet.dtype == np.uint8
    for colour in [(255, 0, 0), (0, 255, 0), (255, 255, 0), (255, 0, 255)]:
        # Twice (two rows) 6 x 8 pixels, each 2 x 2 large.
        assert (sheet == colour).all(-1).sum() == 2 * 48 * 4
    middle = len(sheet) // 2
    # A cell's top and bottom borders join its sides, so each bordered frame is one run of columns.
    assert cells(sheet[:middle], GENERATED) == 0
    assert cells(sheet[:middle], RECORDED) == 4
    assert cells(sheet[middle:], GENERATED) == 1
    assert cells(sheet[middle:], RECORDED) == 3


def test_contact_sheet_keeps_frames_in_order_and_labels_apart():
    frames = flat_frames([(255, 0, 0), (0, 255, 0)])
    short, long = (contact_sheet([(label, frames)], 1) for label in ("a", "a much longer label"))
    first, second = (np.flatnonzero((short == colour).all(-1).any(0))[0] for colour in frames[:, 0, 0])
    assert first < second
    assert np.flatnonzero((long == (255, 0, 0)).all(-1).any(0))[0] > first
    assert long.shape[1] > short.shape[1]


@pytest.mark.parametrize("scale", [1, 3])
def test_frames_are_laid_out_pixel_by_pixel(scale):
    frames = np.random.default_rng(0).integers(0, 100, (2, 5, 7, 3), np.uint8)
    height, width = 5 * scale, 7 * scale
    for laid_out in (contact_sheet([("", frames[:1])], scale), side_by_side([("", frames)], scale)[0]):
        top, left = np.argwhere((laid_out == RECORDED).all(-1))[0] + 2  # inside the border
        pixels = laid_out[top : top + height, left : left + width]
        np.testing.assert_array_equal(pixels, np.kron(frames[0], np.ones((scale, scale, 1), np.uint8)))


def test_contact_sheet_takes_rows_of_other_lengths_and_sizes():
    sheet = contact_sheet(
        [("a", flat_frames([(255, 0, 0)] * 3)), ("b", flat_frames([(0, 255, 0)], 12, 12))], 1
    )
    assert (sheet == (255, 0, 0)).all(-1).sum() == 3 * 48
    assert (sheet == (0, 255, 0)).all(-1).sum() == 144


def test_side_by_side_changes_the_border_where_generation_starts():
    clip = moving_square(4)
    played = side_by_side([("truth", clip), Strip("Toto", clip, generated_from=2)], scale=1)
    assert len(played) == 4
    assert [cells(frame, GENERATED) for frame in played] == [0, 0, 1, 1]
    assert [cells(frame, RECORDED) for frame in played] == [2, 2, 1, 1]


def test_side_by_side_wants_equal_lengths():
    with pytest.raises(ValueError, match=r"\(3, 32\).*\(4, 32\)"):
        side_by_side([("a", moving_square(4)), ("b", moving_square(3))], 1)


def test_no_strips_are_an_error():
    with pytest.raises(ValueError, match="no strips"):
        contact_sheet([], 1)


def test_png_is_lossless(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    write_png(tmp_path / "a.png", pixels)
    np.testing.assert_array_equal(np.asarray(PIL_Image.open(tmp_path / "a.png")), pixels)


def read_gif(path):
    image = PIL_Image.open(path)
    frames = []
    for index in range(image.n_frames):
        image.seek(index)
        frames.append(np.asarray(image.convert("RGB")))
    return np.stack(frames), image.info


def test_gif_keeps_frames_speed_and_few_colours_exactly(tmp_path):
    clip = moving_square()
    write_gif(tmp_path / "a.gif", Animation(clip, 12.5, ""))
    frames, info = read_gif(tmp_path / "a.gif")
    np.testing.assert_array_equal(frames, clip)
    assert info["loop"] == 0  # for ever
    assert info["duration"] == 80


def test_gif_does_not_flicker_where_nothing_moves(tmp_path):
    rng = np.random.default_rng(0)
    still = rng.integers(0, 256, (24, 24, 3), np.uint8)  # far more colours than a GIF holds
    clip = np.repeat(still[None], 5, axis=0)
    clip[:, :4, :4] = rng.integers(0, 256, (5, 4, 4, 3))
    write_gif(tmp_path / "a.gif", Animation(clip, 10, ""))
    frames, _ = read_gif(tmp_path / "a.gif")
    assert len(frames) == 5
    assert (frames[:, 4:] == frames[:1, 4:]).all()


def test_gif_is_never_faster_than_browsers_play(tmp_path):
    write_gif(tmp_path / "a.gif", Animation(moving_square(), 240, ""))
    assert read_gif(tmp_path / "a.gif")[1]["duration"] == 20


@pytest.mark.parametrize(("height", "width"), [(32, 32), (31, 27)])
def test_mp4_is_what_browsers_play(tmp_path, height, width):
    av = pytest.importorskip("av")
    clip = moving_square()[:, :height, :width]
    write_mp4(tmp_path / "a.mp4", Animation(clip, 7.5, ""))
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.average_rate) == 7.5
        decoded = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
    assert decoded.shape == (6, height + height % 2, width + width % 2, 3)
    # Halved colour planes blur the square's edge; most pixels are close.
    assert np.median(np.abs(decoded[:, :height, :width].astype(int) - clip)) <= 4


def test_no_encoder_is_an_error_that_says_what_to_do(tmp_path, monkeypatch):
    pytest.importorskip("av")
    monkeypatch.setattr("toto_jax.evaluation.pictures._H264_ENCODERS", ("nothing264",))
    with pytest.raises(ConfigError, match=r"nothing264.*pip install.*\.gif"):
        write_mp4(tmp_path / "a.mp4", Animation(moving_square(), 10, ""))
