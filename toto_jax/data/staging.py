"""Copies the shards that a run needs now and next from a mount or an object store, and deletes what it is done with.

What evaluators read stays all the time: the validation splits, and some shards of each training split. Which shards
those are follows from the run's config and step, so every host of a job keeps the same ones.
"""

import concurrent.futures
import contextlib
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterable

from toto_jax.data.manifest import MANIFEST, Manifest, Shard, parse_manifest
from toto_jax.data.mixture import Mixture
from toto_jax.data.shard_writer import TEMPORARY, storage_errors, write_text
from toto_jax.data.stage_plan import StagePlan
from toto_jax.data.staged import STAGED, Staged, read_staged
from toto_jax.errors import ConfigError, DataError, TotoError, require

_GIGABYTE = 10**9
_BLOCK = 2**22  # bytes read at a time


class Store:
    """A folder of `<source>/<split>` shards on any file system that fsspec knows: a path, `gs://...`, `s3://...`.

    Args:
      url: of the folder.

    Raises:
      ConfigError: if the package for this kind of store isn't installed, or there is no such kind.
    """

    def __init__(self, url: str):
        if url.startswith(("gs://", "gcs://")):
            require("gcsfs", "gcs")
        self.url = url.rstrip("/")
        try:
            self._files, self._root = require("fsspec.core", "train").url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise ConfigError(f"--source={url} can't be read: {error}") from error

    def read_text(self, path: str) -> str:
        """Raises DataError if there is no such file, or the store can't be reached."""
        try:
            with self._files.open(f"{self._root}/{path}", "rb") as file:
                return file.read().decode()
        except FileNotFoundError as error:
            raise DataError(f"{self.url}/{path} is missing; write the shards there first") from error
        except Exception as error:  # each store has errors of its own
            raise DataError(f"{self.url}/{path} can't be read: {error!r}") from error

    def copy(self, path: str, target: pathlib.Path, shard: Shard | None = None) -> None:
        """Copies a file under a temporary name and renames it when it is whole; a shard is checked.

        Raises:
          DataError: if there is no such file, or the shard is not the one that the manifest lists.
          StorageError: if it can't be written.
        """
        temporary, digest = target.with_name(target.name + TEMPORARY), hashlib.sha256()
        try:
            file = self._files.open(f"{self._root}/{path}", "rb")
        except FileNotFoundError as error:
            raise DataError(f"{self.url}/{path} is missing, but its manifest lists it") from error
        with file, contextlib.ExitStack() as stack:
            with storage_errors(target):
                out = stack.enter_context(temporary.open("wb"))
            while block := file.read(_BLOCK):
                digest.update(block)
                with storage_errors(target):
                    out.write(block)
                    out.flush()
        if shard is not None and digest.hexdigest() != shard.sha256:
            temporary.unlink()
            raise DataError(f"{self.url}/{path} is not what its manifest lists: write it there anew")
        with storage_errors(target):
            os.replace(temporary, target)


class Stager:
    """Keeps a local folder filled with what a run reads next.

    Args:
      store: where all shards are.
      folder: the run's `config.data.shards`.
      mixture: of the run.
      window: shards of a source among which clips are shuffled.
      seed: of the run.
      steps: its length.
      copies: files copied at once.
      log: takes lines for people.

    Raises:
      ConfigError: without a window, or if the folder holds shards that weren't staged from this store.
      DataError: if a manifest is missing or damaged.
    """

    def __init__(
        self,
        store: Store,
        folder: pathlib.Path,
        mixture: Mixture,
        window: int,
        seed: int,
        steps: int,
        copies: int,
        log: Callable[[str], None],
    ):
        if not window:
            raise ConfigError(
                "config.data.window=0 shuffles over all shards, so all of them are needed at any time; give the run "
                "a window, e.g. --config.data.window=64, and stage with the same config"
            )
        self._store, self._folder, self._copies, self._log = store, folder, copies, log
        self._texts = {
            f"{name}/{split}": store.read_text(f"{name}/{split}/{MANIFEST}")
            for name in mixture.names
            for split in ("train", "validation")
        }
        manifests = {
            part: parse_manifest(text, f"{store.url}/{part}/{MANIFEST}") for part, text in self._texts.items()
        }
        self._train = {name: manifests[f"{name}/train"] for name in mixture.names}
        self._held_out = {name: manifests[f"{name}/validation"] for name in mixture.names}
        self._plan = StagePlan(mixture, self._train, window, seed, steps)
        self._marks = {
            name: Staged(store.url, window, tuple(shard.file for shard in shards))
            for name, shards in self._plan.kept.items()
        }
        for name, mark in self._marks.items():
            self._check_ours(name, mark)
        always = [*self._plan.kept.values(), *(manifest.shards for manifest in self._held_out.values())]
        self._always = sum(shard.bytes for shards in always for shard in shards)

    def _check_ours(self, name: str, mark: Staged) -> None:
        """What wasn't staged from here may be somebody's only copy, and is never deleted."""
        folder = self._folder / name / "train"
        held = folder.is_dir() and any(path.suffix != TEMPORARY for path in folder.iterdir())
        if held and read_staged(folder) != mark:
            raise ConfigError(
                f"{folder} holds something else than shards staged from {self._store.url} for this config; point "
                "config.data.shards to a folder of its own, or delete this one"
            )
        manifest = folder / MANIFEST
        if manifest.exists() and manifest.read_text() != self._texts[f"{name}/train"]:
            raise ConfigError(
                f"{self._store.url}/{name}/train has changed since {folder} was staged; delete it"
            )

    def check_room(self, room: int, ahead: int) -> None:
        """Checks that so many bytes hold what is kept and what `ahead` steps in a row read.

        Raises:
          ConfigError: with the bytes that would do.
        """
        wanted = self._always + self._plan.least_room(ahead)
        if room < wanted:
            raise ConfigError(
                f"--gigabytes={room / _GIGABYTE:g} is too little: evaluations and the windows that a run may read "
                f"before it says how far it is take up to {wanted / _GIGABYTE:.4g}. Give so much, or a smaller "
                "config.data.window"
            )

    def begin(self) -> None:
        """Copies all that stays: sidecars, what evaluators read, and manifests, that of a training split last."""
        for name, mark in self._marks.items():
            for split in ("train", "validation"):
                folder = self._folder / name / split
                with storage_errors(folder):
                    folder.mkdir(parents=True, exist_ok=True)
                for left in folder.glob(f"*{TEMPORARY}"):
                    left.unlink()
            write_text(self._folder / name / "train" / STAGED, mark.to_json())
            self._copy_all(f"{name}/validation", self._held_out[name], self._held_out[name].shards)
            self._copy_all(f"{name}/train", self._train[name], self._plan.kept[name])

    def _copy_all(self, part: str, manifest: Manifest, shards: Iterable[Shard]) -> None:
        folder = self._folder / part
        jobs = [(shard.index, None) for shard in manifest.shards if not (folder / shard.index).exists()]
        jobs += [(shard.file, shard) for shard in shards if not _is_there(folder, shard)]
        with concurrent.futures.ThreadPoolExecutor(self._copies) as pool:
            copying = [
                pool.submit(self._store.copy, f"{part}/{file}", folder / file, shard) for file, shard in jobs
            ]
            for job in copying:
                job.result()
        if not (folder / MANIFEST).exists():
            write_text(folder / MANIFEST, self._texts[part])

    def advance(self, step: int, room: int) -> tuple[int, int]:
        """Deletes what a run that has done `step` steps is through with, and copies some of what it comes to next.

        A copy that fails is said and left for the next call.

        Args:
          step: steps done.
          room: bytes that all shards of the folder may take.

        Returns:
          (shards copied now, shards that are still missing).

        Raises:
          DataError: if the store holds other shards than its manifests say.
          StorageError: if the disk can't be written.
        """
        chosen = self._plan.chosen(step, room - self._always)
        for name, manifest in self._train.items():
            wanted = {shard.file for source, shard in chosen if source == name}
            wanted.update(self._marks[name].kept)
            for shard in manifest.shards:
                if shard.file not in wanted:
                    (self._folder / name / "train" / shard.file).unlink(missing_ok=True)
        missing = [
            (name, shard) for name, shard in chosen if not _is_there(self._folder / name / "train", shard)
        ]
        with concurrent.futures.ThreadPoolExecutor(self._copies) as pool:
            copied = sum(pool.map(self._try, missing[: self._copies]))
        return copied, len(missing) - copied

    def _try(self, job: tuple[str, Shard]) -> bool:
        name, shard = job
        part = f"{name}/train/{shard.file}"
        try:
            self._store.copy(part, self._folder / part, shard)
        except TotoError:
            raise
        except Exception as error:  # each store has errors of its own, and networks fail for a while
            self._log(f"{self._store.url}/{part} can't be copied ({error!r}); trying again")
            return False
        return True


def _is_there(folder: pathlib.Path, shard: Shard) -> bool:
    path = folder / shard.file
    return path.exists() and path.stat().st_size == shard.bytes
