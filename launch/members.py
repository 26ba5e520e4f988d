"""What is launched: the members of a sweep as resolved configs, or the one member of a run; and the files that say so.

A launch's workdir holds `sweep.jsonl` (a line a member: name, folder, digest of its config, overrides),
`configs/<member>.json` (the resolved configs), `launch.json` (backend and options) and `launch.jsonl` (the journal).
"""

import copy
import dataclasses
import hashlib
import importlib.util
import json
import pathlib
import re
import types
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections

from launch.journal import write_whole
from toto_jax.config import differences, from_json, to_json
from toto_jax.errors import ConfigError, nearest

SWEEP = "sweep.jsonl"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]*")
_TAKEN = ("configs", "logs")  # folders of the launch itself


@dataclasses.dataclass(frozen=True)
class Member:
    """One run.

    Attributes:
      name: of it; also its folder in a sweep's workdir.
      folder: its own workdir, relative to the launch's; "." for a run alone.
      config: resolved, as `toto_jax.config.to_json` writes it.
      overrides: what sets it apart from the others.
    """

    name: str
    folder: str
    config: str
    overrides: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 of the config."""
        return hashlib.sha256(self.config.encode()).hexdigest()

    @property
    def config_file(self) -> str:
        """Where the config lies, relative to the launch's workdir."""
        return f"configs/{self.name}.json"

    def line(self) -> str:
        """Returns the member's line in sweep.jsonl."""
        about = {"name": self.name, "folder": self.folder, "digest": self.digest}
        return json.dumps({**about, "overrides": self.overrides}, default=str) + "\n"


@dataclasses.dataclass(frozen=True)
class Expanded:
    """What a command line names.

    Attributes:
      name: of the launch, from the file's name.
      members: at least one.
      prepare: commands to be run once before any member.
    """

    name: str
    members: tuple[Member, ...]
    prepare: tuple[tuple[str, ...], ...] = ()


def slug(name: str) -> str:
    """Returns a name as schedulers take it: lower case, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def launch_name(path: str) -> str:
    """Returns what a launch is called by its file (a variant may follow); clouds want a letter first."""
    name = slug(pathlib.Path(path.partition(":")[0]).stem)
    return name if name[:1].isalpha() else f"toto-{name}".rstrip("-")


def single(path: str, config: ml_collections.ConfigDict) -> Expanded:
    """Returns the launch of one config; it is named by its file and 8 digits of the digest."""
    member = Member("", ".", to_json(config))
    name = f"{launch_name(path)}-{member.digest[:8]}"
    return Expanded(name, (dataclasses.replace(member, name=name),))


def expand(sweep: str, workdir: pathlib.Path, base: ml_collections.ConfigDict | None = None) -> Expanded:
    """Returns the members of a sweep file, each with its whole config.

    Args:
      sweep: `configs/sweeps/<name>.py`, or with a variant `configs/sweeps/<name>.py:<variant>`.
      workdir: of the launch as members see it, where the file's `prepare` leaves what they share.
      base: what members start from; by default the file's own config.

    Raises:
      ConfigError: if the file isn't there or has no `members`, if members have equal names or configs, or override
        keys that the config hasn't.
    """
    path, _, variant = sweep.partition(":")
    module, workdir = _load(pathlib.Path(path)), workdir.absolute()
    try:
        base = module.get_config(variant) if base is None else base
        found = [(name, dict(overrides)) for name, overrides in module.members(variant, workdir)]
        prepare = module.prepare(variant, workdir) if hasattr(module, "prepare") else []
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error
    if not found:
        raise ConfigError(f"{sweep} has no members")
    members = tuple(
        Member(name, name, _resolve(base, overrides, name), overrides) for name, overrides in found
    )
    _check_distinct(members)
    return Expanded(launch_name(path), members, tuple(tuple(map(str, argv)) for argv in prepare))


def _load(path: pathlib.Path) -> types.ModuleType:
    if not path.is_file():
        there = [str(other) for other in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise ConfigError(f"There is no sweep file {path}; {nearest(str(path), there)}")
    spec = importlib.util.spec_from_file_location(f"sweep_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for wanted, takes in (("get_config", "variant"), ("members", "variant, workdir")):
        if not callable(getattr(module, wanted, None)):
            raise ConfigError(
                f"{path} has no {wanted}({takes}): a sweep file has get_config, the config that members start from, "
                "and members, which yields (name, overrides); docs/launching.md has an example. A single config is "
                "for python -m launch.run"
            )
    return module


def _resolve(base: ml_collections.ConfigDict, overrides: Mapping[str, Any], name: str) -> str:
    config = copy.deepcopy(base)
    for key, value in overrides.items():
        *path, last = key.split(".")
        section, found = config, config
        for part in (*path, last):
            section = found
            if not isinstance(section, ml_collections.ConfigDict) or part not in section:
                known = section if isinstance(section, ml_collections.ConfigDict) else ()
                raise ConfigError(
                    f"Member {name!r} overrides config.{key}, which is not there: {nearest(part, known)}"
                )
            found = section[part]
        if isinstance(value, Mapping):
            value = ml_collections.ConfigDict(value)
        try:
            with config.unlocked():
                section[last] = value
        except TypeError as error:
            raise ConfigError(
                f"Member {name!r} sets config.{key} to {value!r}, which is of another type than {section[last]!r}"
            ) from error
    return to_json(config)


def _check_distinct(members: Sequence[Member]) -> None:
    by_digest: dict[str, str] = {}
    names: set[str] = set()
    for member in members:
        if not _NAME.fullmatch(member.name) or member.name in _TAKEN:
            raise ConfigError(
                f"A member is called {member.name!r}; names become folders: letters, digits, '.', '_', '=' and '-', "
                f"but not {' or '.join(_TAKEN)}"
            )
        if member.name in names:
            raise ConfigError(f"Two members are called {member.name!r}; each needs a name of its own")
        names.add(member.name)
        twin = by_digest.setdefault(member.digest, member.name)
        if twin != member.name:
            raise ConfigError(f"Members {twin!r} and {member.name!r} have equal configs; leave one out")


def store_members(workdir: pathlib.Path, members: Sequence[Member]) -> None:
    """Writes the members' configs and sweep.jsonl.

    Raises:
      ConfigError: if the workdir holds other members, with what differs.
    """
    check_same(workdir, members)
    for member in members:
        write_whole(workdir / member.config_file, member.config)
    write_whole(workdir / SWEEP, "".join(member.line() for member in members))


def load_members(workdir: pathlib.Path) -> tuple[Member, ...]:
    """Returns the members that an earlier launch has stored in its workdir.

    Raises:
      ConfigError: if there are none.
    """
    path = workdir / SWEEP
    if not path.exists():
        raise ConfigError(
            f"{workdir} holds no launch ({SWEEP} is missing); launch.run or launch.sweep make one"
        )
    members = []
    for line in map(json.loads, path.read_text().splitlines()):
        name, folder = line["name"], line["folder"]
        config = (workdir / f"configs/{name}.json").read_text()
        members.append(Member(name, folder, config, line["overrides"]))
    return tuple(members)


def check_same(workdir: pathlib.Path, members: Sequence[Member]) -> None:
    """Checks that a workdir holds these members or none.

    Raises:
      ConfigError: naming what differs.
    """
    if not (workdir / SWEEP).exists():
        return
    there = {member.name: member for member in load_members(workdir)}
    here = {member.name: member for member in members}
    alone = [*there.values(), *here.values()]
    if len(there) == len(here) == 1 and all(member.folder == "." for member in alone):
        there, here = {"the run": alone[0]}, {"the run": alone[1]}
    lines = [f"{name}: only there" for name in there if name not in here]
    lines += [f"{name}: only here" for name in here if name not in there]
    for name in sorted(set(there) & set(here)):
        old, new = (from_json(of[name].config) for of in (there, here))
        lines += [f"{name}: {line}" for line in differences(old, new)]
    if lines:
        shown = "\n  ".join(lines[:20]) + (f"\n  and {len(lines) - 20} more" if len(lines) > 20 else "")
        raise ConfigError(
            f"{workdir} holds another launch. Differences (there -> here):\n  {shown}\n"
            "Give another --workdir, or go on with what is there: python -m launch.resume"
        )
