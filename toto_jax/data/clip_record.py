"""Where one record of a shard comes from."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class ClipRecord:
    """Where one record comes from.

    Attributes:
      kind: "video" or "image".
      sources: names of the files: one for a video, one for each frame for a row of images.
      labels: class numbers of the sources, None where there is none.
      start_seconds: of the first frame within its video; None for images.
      frames_per_second: of the source; None for images.
      frame_indices: of each frame within its source, in display order.
      crops: top and left pixel of the square within each resized source.
    """

    kind: str
    sources: tuple[str, ...]
    labels: tuple[int | None, ...]
    start_seconds: float | None
    frames_per_second: float | None
    frame_indices: tuple[int, ...]
    crops: tuple[tuple[int, int], ...]

    @property
    def source(self) -> str:
        """The file, or the first of several."""
        return self.sources[0]

    @property
    def label(self) -> int | None:
        """The class that all sources share, if they do."""
        return self.labels[0] if len(set(self.labels)) == 1 else None

    @property
    def clip_rate(self) -> float | None:
        """Frames per second of the clip itself: the source's over the stride."""
        if self.frames_per_second is None or len(self.frame_indices) < 2:
            return self.frames_per_second
        return self.frames_per_second / (self.frame_indices[1] - self.frame_indices[0])

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "ClipRecord":
        return cls(**{key: _tuples(value) for key, value in values.items()})


def _tuples(value: Any) -> Any:
    return tuple(_tuples(inner) for inner in value) if isinstance(value, list) else value
