"""Which inputs become which shards, and whether a folder's shards were made that way.

A split's folder holds `inputs.jsonl`, a line for each input in the order of the units of work, and `settings.json`, all
that determines its shards. They are written once, and every worker reads its units' inputs from there: fourteen million
lines are neither listed again by each worker nor held in its memory.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from toto_jax.config import differences
from toto_jax.data.clips import ClipsConfig
from toto_jax.data.config import DataConfig
from toto_jax.data.manifest import FORMAT
from toto_jax.data.media import MediaItem
from toto_jax.data.shard_writer import storage_errors, temporary_name, write_text
from toto_jax.errors import DataError
from toto_jax.tokenizers.base import TokenizerSpec

SETTINGS = "settings.json"
INPUTS = "inputs.jsonl"
_ADVICE = "choose another folder (config.data.shards or --workdir), or delete this one to write it anew"


@dataclasses.dataclass(frozen=True)
class UnitPlan:
    """A unit of work to be.

    Attributes:
      folder: of its split.
      stem: of its files' names, `<kind>-00000`.
      kind: of all its inputs.
      count: of its inputs.
      offset: of the first one's line in `inputs.jsonl`, in bytes.
      digest: of everything that determines the result.
    """

    folder: pathlib.Path
    stem: str
    kind: str
    count: int
    offset: int
    digest: str

    def items(self) -> list[MediaItem]:
        """Returns its inputs, in the order in which they are written.

        Raises:
          DataError: if their list isn't there any more, or is another one.
        """
        with _damage_told(self.folder), (self.folder / INPUTS).open("rb") as file:
            file.seek(self.offset)
            return [MediaItem.from_json(line) for line in itertools.islice(file, self.count)]


def write_inputs(folder: pathlib.Path, items: list[MediaItem], seed: int) -> None:
    """Writes the inputs of a split, videos first.

    Videos come in order of their names. Images come in a seeded order over the whole split, since the images
    of one row are to be random ones (paper section 3.4), and neighbours in a folder are often alike.

    Raises:
      StorageError: if the folder can't be written.
    """
    temporary = pathlib.Path(temporary_name(folder / INPUTS))
    with storage_errors(folder / INPUTS):
        folder.mkdir(parents=True, exist_ok=True)
        with temporary.open("w") as file:
            for item in _in_order(items, seed):
                file.write(item.to_json() + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / INPUTS)


def plan_units(folder: pathlib.Path, settings: dict[str, Any], files_per_shard: int) -> list[UnitPlan]:
    """Returns the units of a split: `files_per_shard` inputs of one kind each, as `inputs.jsonl` has them.

    Raises:
      DataError: if that file isn't there or was changed.
    """
    plans: list[UnitPlan] = []
    numbers = {"video": 0, "image": 0}
    with _damage_told(folder):
        for kind, lines in itertools.groupby(_read_inputs(folder), key=lambda line: line[1].kind):
            while unit := list(itertools.islice(lines, files_per_shard)):
                digest = _digest([settings, [_identity(item) for _, item in unit]])
                stem = f"{kind}-{numbers[kind]:05d}"
                plans.append(UnitPlan(folder, stem, kind, len(unit), unit[0][0], digest))
                numbers[kind] += 1
    if sum(plan.count for plan in plans) != settings["inputs"]["count"]:
        raise DataError(f"{folder / INPUTS} doesn't hold the inputs that {SETTINGS} counts; {_ADVICE}")
    return plans


def split_settings(
    items: list[MediaItem],
    data: DataConfig,
    class_names: list[str],
    clips: ClipsConfig,
    spec: TokenizerSpec,
    seed: int,
) -> dict[str, Any]:
    """Returns all that determines a split's shards, in plain JSON types."""
    identities = [_identity(item) for item in sorted(items, key=lambda item: item.name)]
    return {
        "format": FORMAT,
        "inputs": {"count": len(items), "digest_of_names_sizes_labels": _digest(identities)},
        "class_names": class_names,
        **_choices(data, clips, spec, seed),
    }


def check_settings(folder: pathlib.Path, settings: dict[str, Any]) -> None:
    """Checks that a folder is new, or was begun with the same settings.

    Raises:
      DataError: that lists the differences.
    """
    if not (folder / SETTINGS).exists():
        strangers = sorted(entry.name for entry in folder.iterdir()) if folder.exists() else []
        # A job killed before its settings had their name leaves them and its inputs.
        strangers = [name for name in strangers if not name.startswith((SETTINGS, INPUTS))]
        if strangers:
            raise DataError(f"{folder} holds {strangers[0]} but no {SETTINGS}, so it isn't ours; {_ADVICE}")
        return
    _compare(folder, _read_settings(folder), settings)


def write_settings(folder: pathlib.Path, settings: dict[str, Any]) -> None:
    """Writes what `check_settings` and `begun_settings` read."""
    write_text(folder / SETTINGS, json.dumps(settings, indent=2, sort_keys=True) + "\n")


def begun_settings(
    folder: pathlib.Path, data: DataConfig, clips: ClipsConfig, spec: TokenizerSpec, seed: int
) -> dict[str, Any]:
    """Returns the settings of a split that another worker has begun, its inputs taken as they were listed.

    Raises:
      DataError: if nobody has, or with other choices.
    """
    if not (folder / SETTINGS).exists():
        raise DataError(f"Nobody has begun to write shards in {folder}: it has no {SETTINGS}")
    there = _read_settings(folder)
    wanted = _choices(data, clips, spec, seed)
    _compare(folder, {key: there.get(key) for key in wanted}, wanted)
    return there


def _choices(data: DataConfig, clips: ClipsConfig, spec: TokenizerSpec, seed: int) -> dict[str, Any]:
    return {
        "labels": data.labels,
        "layout": data.layout,
        # The number of synthetic clips is the number of inputs.
        "clips": {key: value for key, value in dataclasses.asdict(clips).items() if key != "synthetic_clips"},
        "tokenizer": {"kind": spec.kind, "content_hash": spec.content_hash},
        "seed": seed,
    }


def _read_settings(folder: pathlib.Path) -> dict[str, Any]:
    path = folder / SETTINGS
    try:
        return dict(json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error}); {_ADVICE}") from error


def _compare(folder: pathlib.Path, there: dict[str, Any], wanted: dict[str, Any]) -> None:
    lines = differences(there, wanted)
    if lines:
        changes = "".join(f"\n  {line}" for line in lines)
        raise DataError(f"{folder} was made from other inputs or settings:{changes}\n{_ADVICE}")


def _in_order(items: list[MediaItem], seed: int) -> Iterator[MediaItem]:
    yield from sorted((item for item in items if item.kind == "video"), key=lambda item: item.name)
    images = (item for item in items if item.kind == "image")
    yield from sorted(images, key=lambda item: hashlib.sha256(b"%d:" % seed + item.digest).digest())


def _read_inputs(folder: pathlib.Path) -> Iterator[tuple[int, MediaItem]]:
    """Yields (offset of its line, input)."""
    offset = 0
    with (folder / INPUTS).open("rb") as file:
        for line in file:
            yield offset, MediaItem.from_json(line)
            offset += len(line)


@contextlib.contextmanager
def _damage_told(folder: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{folder / INPUTS} can't be read ({error}); {_ADVICE}") from error


def _identity(item: MediaItem) -> tuple[str, int | None, str | None]:
    """Returns what of an input decides what comes of it; media may be moved."""
    return item.name, item.size, item.label


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
