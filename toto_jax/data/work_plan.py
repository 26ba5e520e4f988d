"""Which inputs become which shards, and whether a folder's shards were made that way."""

import dataclasses
import hashlib
import json
import pathlib
from typing import Any

from toto_jax.config import differences
from toto_jax.data.clips import ClipsConfig
from toto_jax.data.manifest import FORMAT
from toto_jax.data.media import MediaItem
from toto_jax.errors import DataError
from toto_jax.tokenizers.base import TokenizerSpec

SETTINGS = "settings.json"


@dataclasses.dataclass(frozen=True, eq=False)
class UnitPlan:
    """A unit of work to be.

    Attributes:
      folder: of its split.
      stem: of its files' names, `<kind>-00000`.
      kind: of all its inputs.
      items: its inputs, in the order in which they are written.
      digest: of everything that determines the result.
    """

    folder: pathlib.Path
    stem: str
    kind: str
    items: tuple[MediaItem, ...]
    digest: str

    def expected_clips(self, clips: ClipsConfig) -> int:
        """Returns how many clips come of it if no input is rejected."""
        if self.kind == "image":
            return -(-len(self.items) // clips.frames)
        return sum(1 if item.path is None else clips.per_video for item in self.items)


def plan_units(
    folder: pathlib.Path, items: list[MediaItem], settings: dict[str, Any], files_per_shard: int
) -> list[UnitPlan]:
    """Parts a split's inputs into units of `files_per_shard` inputs of one kind.

    Videos come in order of their names. Images come in a seeded order over the whole split, since the images
    of one row are to be random ones (paper section 3.4), and neighbours in a folder are often alike.
    """
    by_kind = {kind: [item for item in items if item.kind == kind] for kind in ("video", "image")}
    by_kind["image"].sort(key=lambda item: hashlib.sha256(b"%d:" % settings["seed"] + item.digest).digest())
    plans = []
    for kind, kindred in by_kind.items():
        for number, first in enumerate(range(0, len(kindred), files_per_shard)):
            unit = kindred[first : first + files_per_shard]
            digest = _digest([settings, _listing(unit)])
            plans.append(UnitPlan(folder, f"{kind}-{number:05d}", kind, tuple(unit), digest))
    return plans


def split_settings(
    items: list[MediaItem],
    labels: str,
    class_names: list[str],
    clips: ClipsConfig,
    spec: TokenizerSpec,
    seed: int,
) -> dict[str, Any]:
    """Returns all that determines a split's shards, in plain JSON types."""
    return {
        "format": FORMAT,
        "inputs": {"count": len(items), "digest_of_names_sizes_labels": _digest(_listing(items))},
        "labels": labels,
        "class_names": class_names,
        # The number of synthetic clips is the number of inputs.
        "clips": {key: value for key, value in dataclasses.asdict(clips).items() if key != "synthetic_clips"},
        "tokenizer": {"kind": spec.kind, "content_hash": spec.content_hash},
        "seed": seed,
    }


def check_settings(folder: pathlib.Path, settings: dict[str, Any]) -> None:
    """Checks that a folder is new, or was begun with the same settings.

    Raises:
      DataError: that lists the differences.
    """
    path = folder / SETTINGS
    advice = "choose another folder (config.data.shards or --workdir), or delete this one to write it anew"
    if not path.exists():
        strangers = sorted(entry.name for entry in folder.iterdir()) if folder.exists() else []
        # A job killed before its settings had their name leaves them under a temporary one.
        strangers = [name for name in strangers if not name.startswith(SETTINGS)]
        if strangers:
            raise DataError(f"{folder} holds {strangers[0]} but no {SETTINGS}, so it isn't ours; {advice}")
        return
    try:
        lines = differences(json.loads(path.read_text()), settings)
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}); {advice}") from error
    if lines:
        changes = "".join(f"\n  {line}" for line in lines)
        raise DataError(f"{folder} was made from other inputs or settings:{changes}\n{advice}")


def _listing(items: list[MediaItem]) -> list[tuple[str, int, str | None]]:
    return [(item.name, item.size, item.label) for item in items]


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
