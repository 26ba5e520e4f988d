"""What a folder says of itself while it holds only some of its shards: a contract between who copies and who reads."""

import dataclasses
import json
import pathlib

from toto_jax.errors import DataError

STAGED = "staged.json"


@dataclasses.dataclass(frozen=True)
class Staged:
    """Attributes:
    source: where the shards are copied from.
    window: shards among which clips are shuffled, as in `config.data.window`.
    kept: files of the shards that are there all the time; evaluators read these.
    """

    source: str
    window: int
    kept: tuple[str, ...]

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"


def read_staged(folder: pathlib.Path) -> Staged | None:
    """Returns what `<folder>/staged.json` says, or None where all shards are there.

    Raises:
      DataError: if it can't be read.
    """
    path = folder / STAGED
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text())
        return Staged(**{**values, "kept": tuple(values["kept"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error!r}); delete the folder and stage it anew") from error
