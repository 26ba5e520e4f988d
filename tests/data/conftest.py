"""Small videos and configs for the tests of the data room."""

import fractions
import pathlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pytest

from toto_jax.data.clips import ClipsConfig
from toto_jax.data.config import DataConfig
from toto_jax.data.decoding import DecodingConfig

CODECS = {
    ".avi": ("mpeg4", "yuv420p"),
    ".gif": ("gif", "gray"),
    ".mkv": ("ffv1", "yuv420p"),
    ".mov": ("mjpeg", "yuvj420p"),
    ".mp4": ("mpeg4", "yuv420p"),
    ".webm": ("libvpx", "yuv420p"),
}
MakeVideo = Callable[..., pathlib.Path]


@pytest.fixture
def make_video(tmp_path: pathlib.Path) -> MakeVideo:
    """Writes a video of given frames, or of plain greys; `shown` permutes the times of their display."""
    av = pytest.importorskip("av")

    def make(
        name: str,
        greys: Sequence[int] = (),
        frames: Iterable[np.ndarray] | None = None,
        rate: float = 25,
        shape: tuple[int, int] = (32, 48),
        shown: Sequence[int] | None = None,
    ) -> pathlib.Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        codec, pixel_format = CODECS[path.suffix]
        frames = [np.full((*shape, 3), grey, np.uint8) for grey in greys] if frames is None else list(frames)
        options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
        with av.open(str(path), "w", options=options) as container:
            stream = container.add_stream(codec, rate=fractions.Fraction(rate).limit_denominator(1001))
            stream.height, stream.width = frames[0].shape[:2]
            stream.pix_fmt = pixel_format
            packets = []
            for frame in frames:
                packets += stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24"))
            packets += stream.encode()
            times = [packet.pts for packet in packets]
            for place, packet in enumerate(packets):
                if shown is not None:
                    packet.pts, packet.dts = times[shown[place]], times[place] - 2
                container.mux(packet)
        return path

    return make


@pytest.fixture
def decoding() -> DecodingConfig:
    """One child process, with limits that nothing in these tests reaches by accident."""
    return DecodingConfig(processes=1, memory_gb=4.0, seconds=60.0, buffer_gb=0.1)


@pytest.fixture
def clips_config() -> Callable[..., ClipsConfig]:
    """Builds a config of small clips."""

    def build(**changes: int | float) -> ClipsConfig:
        values = {
            "size": 16,
            "frames": 4,
            "stride": 2,
            "per_video": 1,
            "every_seconds": 0.0,
            "validation_percent": 25.0,
            "files_per_shard": 3,
            "encode_batch": 2,
            "max_pixels": 1_000_000,
            "max_frames": 1_000_000,
            "synthetic_clips": 8,
        }
        return ClipsConfig(**(values | changes))

    return build


@pytest.fixture
def data_config() -> Callable[..., DataConfig]:
    """Builds a config of media, in files and without classes unless told otherwise."""

    def build(media: str | pathlib.Path, **changes: str | tuple[str, ...]) -> DataConfig:
        values = {
            "layout": "files",
            "annotations": (),
            "labels": "none",
            "shards": "",
            "paired": "",
            "mixture": {"media": 1},
            "window": 0,
            "wait_seconds": 1.0,
            "other_shapes": (),
            "workers": 0,
            "prefetch": 2,
        }
        return DataConfig(media=str(media), **(values | changes))

    return build
