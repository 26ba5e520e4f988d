"""What an evaluator yields besides numbers: curves, tables, pictures and animations, each with its caption."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Curve:
    """Lines over a shared x axis; `series` maps a legend entry to its y values."""

    x: np.ndarray
    series: dict[str, np.ndarray]
    x_label: str
    y_label: str
    caption: str


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of cells under a header."""

    header: tuple[str, ...]
    rows: tuple[tuple[str | float | int, ...], ...]
    caption: str


@dataclasses.dataclass(frozen=True)
class Picture:
    """One still, uint8 RGB."""

    pixels_HWC: np.ndarray
    caption: str


@dataclasses.dataclass(frozen=True)
class Animation:
    """Moving frames, uint8 RGB."""

    frames_FHWC: np.ndarray
    frames_per_second: float
    caption: str


Result = float | Curve | Table | Picture | Animation
