"""Frames laid out for people: contact sheets, frames side by side, and files that browsers show.

Recorded frames have a grey border and generated ones a blue one, so that nobody takes a prompt for a
prediction.

Shapes: F frames of H x W pixels, C = 3 colours; all pixels are uint8 RGB.
"""

import fractions
import math
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from toto_jax.errors import ConfigError, require
from toto_jax.evaluation.results import Animation

_GROUND = (250, 250, 251)
_INK = (31, 36, 48)
_RECORDED = (168, 173, 182)
_GENERATED = (0, 114, 178)
_BORDER = 2
_GAP = 3
_MARGIN = 10
_FONT_SIZE = 15
# Newest first; the name of an encoder depends on how PyAV was built.
_H264_ENCODERS = ("libx264", "libopenh264", "h264_videotoolbox")


class Strip(NamedTuple):
    """Frames of one clip under one label.

    Attributes:
      label: what they are, in a word or two.
      frames_FHWC: the frames.
      generated_from: index of the first generated frame; None when all were recorded.
    """

    label: str
    frames_FHWC: np.ndarray
    generated_from: int | None = None

    def framed(self, index: int, scale: int) -> np.ndarray:
        """Returns one frame, each pixel `scale` pixels wide, in a border of its colour."""
        generated = self.generated_from is not None and index >= self.generated_from
        large_HWC = self.frames_FHWC[index].repeat(scale, axis=0).repeat(scale, axis=1)
        height, width, _ = large_HWC.shape
        framed_HWC = np.empty((height + 2 * _BORDER, width + 2 * _BORDER, 3), np.uint8)
        framed_HWC[:] = _GENERATED if generated else _RECORDED
        framed_HWC[_BORDER:-_BORDER, _BORDER:-_BORDER] = large_HWC
        return framed_HWC


def contact_sheet(strips: Sequence[Strip | tuple[str, np.ndarray]], scale: int) -> np.ndarray:
    """Returns pixels_HWC: a row for each strip, with its label at the left.

    Args:
      strips: `Strip`s, or plain (label, frames_FHWC) pairs of recorded frames; they may differ in length and
        size.
      scale: pixels for each pixel.

    Raises:
      ConfigError: if Pillow isn't installed.
    """
    rows = _strips(strips)
    label_width = max(_text_width(row.label) for row in rows)
    bands = []
    for row in rows:
        cells = [row.framed(index, scale) for index in range(len(row.frames_FHWC))]
        height = cells[0].shape[0]
        gap = _ground(height, _GAP)
        label = _text(row.label, height, label_width + _MARGIN)
        bands.append(np.concatenate([label, *(part for cell in cells for part in (cell, gap))], axis=1))
    width = max(band.shape[1] for band in bands)
    bands = [_padded(band, width) for band in bands]
    # Rows that belong together touch nearly; a thin line under each keeps the eye in its row.
    line = np.full((1, width, 3), 225, np.uint8)
    space = _ground(_GAP + 1, width)
    parts = [part for band in bands for part in (band, space, line, space)][:-3]
    return _with_margin(np.concatenate(parts, axis=0))


def side_by_side(panels: Sequence[Strip | tuple[str, np.ndarray]], scale: int) -> np.ndarray:
    """Returns frames_FHWC in which the strips play next to one another, each under its label.

    Args:
      panels: `Strip`s, or plain (label, frames_FHWC) pairs, of equal length and height.
      scale: pixels for each pixel.

    Raises:
      ConfigError: if Pillow isn't installed.
      ValueError: if the strips differ in length or height.
    """
    strips = _strips(panels)
    sizes = {strip.frames_FHWC.shape[:2] for strip in strips}
    if len(sizes) > 1:
        raise ValueError(f"Strips side by side need equal (frames, height), got {sorted(sizes)}")
    ((frames, _),) = sizes
    widths = [
        max(strip.frames_FHWC.shape[2] * scale + 2 * _BORDER, _text_width(strip.label)) for strip in strips
    ]
    heads = [_text(strip.label, 2 * _FONT_SIZE, width) for strip, width in zip(strips, widths, strict=True)]
    played = []
    for index in range(frames):
        columns = []
        for strip, head, width in zip(strips, heads, widths, strict=True):
            framed = _padded(strip.framed(index, scale), width)
            columns += [np.concatenate([head, framed], axis=0), _ground(len(head) + len(framed), _MARGIN)]
        played.append(_with_margin(np.concatenate(columns[:-1], axis=1)))
    return np.stack(played)


def write_png(path: pathlib.Path, pixels_HWC: np.ndarray) -> None:
    """Writes one still."""
    require("PIL.Image", "train").fromarray(pixels_HWC).save(path, format="PNG", optimize=True)


def write_gif(path: pathlib.Path, animation: Animation) -> None:
    """Writes an endless GIF.

    One palette, fitted to all frames together, and no dithering: palettes or dither patterns that change from
    frame to frame make still parts of a picture flicker. Colours are chosen for coverage and then moved to
    the means of what they stand for: a median cut turns small saturated things (a yellow ball) grey.
    """
    image = require("PIL.Image", "train")
    frames_FHWC = animation.frames_FHWC
    mosaic = image.fromarray(frames_FHWC.reshape(-1, *frames_FHWC.shape[2:]))
    palette = mosaic.quantize(256, method=image.Quantize.MAXCOVERAGE, kmeans=1, dither=image.Dither.NONE)
    frames = [
        image.fromarray(frame).quantize(palette=palette, dither=image.Dither.NONE) for frame in frames_FHWC
    ]
    # GIF counts hundredths of a second, and browsers slow down what lasts less than two.
    hundredths = max(round(100 / animation.frames_per_second), 2)
    frames[0].save(
        path, format="GIF", save_all=True, append_images=frames[1:], duration=10 * hundredths, loop=0
    )


def write_mp4(path: pathlib.Path, animation: Animation) -> None:
    """Writes H.264 that every browser plays: 4:2:0 colours, even sizes, index at the front.

    Raises:
      ConfigError: if PyAV isn't installed or has no H.264 encoder.
    """
    av = require("av", "train")
    encoder = _h264_encoder(av)
    height, width = animation.frames_FHWC.shape[1:3]
    # 4:2:0 stores colour for 2 x 2 pixels, so odd sizes get their last row or column twice.
    even_FHWC = np.pad(animation.frames_FHWC, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    options = {"crf": "16", "preset": "slow"} if encoder == "libx264" else {}
    rate = fractions.Fraction(animation.frames_per_second).limit_denominator(1001)
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream(encoder, rate=rate, options=options)
        stream.height, stream.width = even_FHWC.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame_HWC in even_FHWC:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame_HWC, format="rgb24")))
        container.mux(stream.encode())


def _h264_encoder(av: Any) -> str:
    for name in _H264_ENCODERS:
        try:
            av.codec.Codec(name, "w")
        except ValueError:
            continue
        return name
    raise ConfigError(
        f"This PyAV has no H.264 encoder ({', '.join(_H264_ENCODERS)}); the wheel from PyPI has one "
        "(pip install --force-reinstall av), and a .gif needs none"
    )


def _strips(strips: Sequence[Strip | tuple[str, np.ndarray]]) -> list[Strip]:
    if not strips:
        raise ValueError("There are no strips of frames to lay out")
    return [Strip(*strip) for strip in strips]


def _font() -> Any:
    return require("PIL.ImageFont", "train").load_default(_FONT_SIZE)


def _text_width(text: str) -> int:
    return math.ceil(_font().getlength(text)) + 2


def _text(text: str, height: int, width: int) -> np.ndarray:
    """Returns one line of text at the left, halfway up."""
    image = require("PIL.Image", "train").new("RGB", (width, height), _GROUND)
    drawing = require("PIL.ImageDraw", "train").Draw(image)
    drawing.text((0, height / 2), text, fill=_INK, font=_font(), anchor="lm")
    return np.asarray(image)


def _ground(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), _GROUND, np.uint8)


def _padded(pixels_HWC: np.ndarray, width: int) -> np.ndarray:
    missing = width - pixels_HWC.shape[1]
    return np.concatenate([pixels_HWC, _ground(len(pixels_HWC), missing)], axis=1)


def _with_margin(pixels_HWC: np.ndarray) -> np.ndarray:
    height, width, _ = pixels_HWC.shape
    whole_HWC = _ground(height + 2 * _MARGIN, width + 2 * _MARGIN)
    whole_HWC[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] = pixels_HWC
    return whole_HWC
