"""One input -> the clips cut from it. Draws depend on the seed, the input's name and the clip's number alone.

Shapes: F frames, H x W pixels, C = 3 colours.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from toto_jax.data import synthetic
from toto_jax.data.clip_record import ClipRecord
from toto_jax.data.clips import ClipsConfig, crop_corner, frame_indices, resize_shortest_side
from toto_jax.data.media import MediaItem
from toto_jax.data.media_reader import is_video_file, opened_item, read_item_image, read_item_video
from toto_jax.data.video_windows import read_windows
from toto_jax.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclasses.dataclass(frozen=True)
class Clip:
    """Frames, uint8 RGB, and where they come from."""

    video_FHWC: np.ndarray
    record: ClipRecord


def cut_clips(item: MediaItem, label: int | None, config: ClipsConfig, seed: int) -> Iterator[Clip]:
    """Yields an input's clips, of F frames from a video, and one of a single frame from an image.

    A video has `per_video` clips, or one from each `every_seconds`; synthetic ones have one.

    Args:
      item: the input.
      label: number of its class.
      config: how.
      seed: of the random starts and crops.

    Raises:
      DataError: if the input can't be used, with the reason.
    """
    if item.path is None:
        yield _render(item, label, config, seed)
    elif item.kind == "image":
        yield _cut_image(item, label, config, seed)
    elif config.every_seconds and is_video_file(item):
        yield from _cut_windows(item, label, config, seed)
    else:
        yield from _cut_video(item, label, config, seed)


def join_images(clips: Sequence[Clip]) -> Clip:
    """Puts clips of single images together, as if they were the frames of one."""
    return Clip(
        video_FHWC=np.concatenate([clip.video_FHWC for clip in clips]),
        record=ClipRecord(
            kind="image",
            sources=tuple(clip.record.source for clip in clips),
            labels=tuple(clip.record.label for clip in clips),
            start_seconds=None,
            frames_per_second=None,
            frame_indices=(0,) * len(clips),
            crops=tuple(clip.record.crops[0] for clip in clips),
        ),
    )


def _generators(item: MediaItem, clip: int, seed: int) -> list[np.random.Generator]:
    """Returns fresh generators of one clip: for its start and for its crop."""
    return np.random.default_rng([seed, int.from_bytes(item.digest), clip]).spawn(2)


def _render(item: MediaItem, label: int | None, config: ClipsConfig, seed: int) -> Clip:
    video_FHWC = synthetic.render_clip(seed, synthetic.clip_index(item.name), config.frames, config.size)
    rate = synthetic.FRAMES_PER_SECOND
    return Clip(
        video_FHWC,
        ClipRecord("video", (item.name,), (label,), 0.0, rate, tuple(range(config.frames)), ((0, 0),)),
    )


def _cut_image(item: MediaItem, label: int | None, config: ClipsConfig, seed: int) -> Clip:
    image = resize_shortest_side(read_item_image(item, config.size, config.max_pixels), config.size)
    corner = crop_corner(image.height, image.width, config.size, _generators(item, 0, seed)[1])
    return Clip(
        _crop(np.asarray(image)[None], corner, config.size),
        ClipRecord("image", (item.name,), (label,), None, None, (0,), (corner,)),
    )


def _cut_video(item: MediaItem, label: int | None, config: ClipsConfig, seed: int) -> Iterator[Clip]:
    def choose(frame_count: int) -> list[np.ndarray]:
        return [
            frame_indices(frame_count, config.frames, config.stride, _generators(item, clip, seed)[0])
            for clip in range(config.per_video)
        ]

    video = read_item_video(
        item,
        choose=lambda frame_count: {int(index) for indices in choose(frame_count) for index in indices},
        prepare=lambda image: _resized(image, config),
        size=config.size,
        max_pixels=config.max_pixels,
        max_frames=config.max_frames,
    )
    for clip, indices_F in enumerate(choose(video.frame_count)):
        frames = [video.frames[index] for index in indices_F]
        seconds = video.seconds[indices_F[0]]
        yield _clip(item, label, config, seed, clip, frames, indices_F, seconds, video.frames_per_second)


def _cut_windows(item: MediaItem, label: int | None, config: ClipsConfig, seed: int) -> Iterator[Clip]:
    """Yields a clip from each stretch of a video; one that is shorter than a stretch is cut as a whole."""

    def draw(number: int) -> np.random.Generator:
        return _generators(item, number, seed)[0]

    found = False
    with opened_item(item) as source:
        for window in read_windows(source, lambda image: _resized(image, config), config, draw):
            found = True
            yield _clip(
                item, label, config, seed, window.number, window.frames, window.indices_F, window.seconds,
                window.frames_per_second,
            )  # fmt: skip
    if not found:
        yield from _cut_video(item, label, config, seed)


def _clip(
    item: MediaItem,
    label: int | None,
    config: ClipsConfig,
    seed: int,
    number: int,
    frames: Sequence[np.ndarray],
    indices_F: np.ndarray,
    seconds: float | None,
    rate: float | None,
) -> Clip:
    """Returns one clip of a video from its resized frames."""
    if len({frame.shape for frame in frames}) > 1:
        raise DataError(f"{item.name} changes the shape of its frames within a clip")
    height, width = frames[0].shape[:2]
    corner = crop_corner(height, width, config.size, _generators(item, number, seed)[1])
    record = ClipRecord(
        kind="video",
        sources=(item.name,),
        labels=(label,),
        start_seconds=seconds,
        frames_per_second=rate,
        frame_indices=tuple(int(index) for index in indices_F),
        crops=(corner,),
    )
    return Clip(_crop(np.stack(frames), corner, config.size), record)


def _resized(image: "Image", config: ClipsConfig) -> np.ndarray:
    return np.asarray(resize_shortest_side(image, config.size))


def _crop(video_FHWC: np.ndarray, corner: tuple[int, int], size: int) -> np.ndarray:
    top, left = corner
    return video_FHWC[:, top : top + size, left : left + size]
