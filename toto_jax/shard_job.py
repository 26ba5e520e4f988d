"""A config's pre-tokenisation: its job, its tokenizer, this worker's share of it, and what came of it."""

import dataclasses
import functools
import pathlib
import threading
from collections.abc import Mapping

import jax

from toto_jax.config import from_json
from toto_jax.data.job import LEDGER, Job
from toto_jax.data.manifest import Manifest
from toto_jax.data.pretokenization import open_job
from toto_jax.data.timeline import Timeline
from toto_jax.data.worker import Share
from toto_jax.errors import ConfigError
from toto_jax.settings import Settings, parse
from toto_jax.sharding.mesh import MeshConfig, make_mesh
from toto_jax.tokenizers.base import Tokenizer
from toto_jax.tokenizers.loading import load_tokenizer, read_spec
from toto_jax.tokenizers.pixels import PixelsTokenizer

_OPENING = threading.Lock()


def shard_folder(settings: Settings, workdir: pathlib.Path, what: str) -> pathlib.Path:
    """Returns where the shards of the mixture's first source go: those of "codes" or "pixels"."""
    return settings.shard_folders(workdir)[what] / settings.data.sources[0]


def open_shard_job(
    settings: Settings, workdir: pathlib.Path, what: str, listed: bool, shared: bool = False
) -> Job:
    """Returns the job that writes the shards of the mixture's first source.

    Args:
      settings: of the run.
      workdir: of the run.
      what: "codes" or "pixels", see `Settings.shard_folders`.
      listed: whether to take the inputs as another worker has listed them.
      shared: whether to take them so if one has; see `pretokenization.open_job`.
    """
    out = shard_folder(settings, workdir, what)
    if _takes_pixels(settings, what):
        spec = PixelsTokenizer.spec
    else:
        spec = read_spec(tokenizer_path(settings, workdir)).encoded_in(settings.tokenizer.encode_dtype)
    return open_job(settings.data, settings.clips, spec, out, settings.seed, listed, shared)


def load_shard_tokenizer(settings: Settings, workdir: pathlib.Path, what: str) -> Tokenizer:
    """Returns what encodes the job's clips, on all devices of this process."""
    if _takes_pixels(settings, what):
        return PixelsTokenizer()
    devices = make_mesh(MeshConfig(slices=1, data=-1, fsdp=1, sequence=1, tensor=1), jax.local_devices())
    return load_tokenizer(tokenizer_path(settings, workdir), settings.tokenizer.encode_dtype).on(devices)


def _takes_pixels(settings: Settings, what: str) -> bool:
    """Returns whether frames are written as they are: where they are to be trained on, or asked for by the config."""
    return what == "pixels" or settings.tokenizer.kind == "pixels"


def tokenizer_path(settings: Settings, workdir: pathlib.Path) -> pathlib.Path:
    """Returns the folder of the run's tokenizer."""
    return pathlib.Path(settings.tokenizer.path or workdir / "tokenizer")


def write_unit(number: int, what: str, config: str, workdir: str) -> int:
    """Writes one unit of a job whose inputs are listed, wherever it is called, and returns its number of clips.

    Args:
      number: of the unit.
      what: "codes" or "pixels".
      config: of the run, as `config.to_json` writes it.
      workdir: of the run.
    """
    with _OPENING:
        job, tokenizer, settings = _opened(what, config, workdir)
    # An engine starts a process for each core itself.
    decoding = dataclasses.replace(settings.decoding, processes=settings.decoding.processes or 1)
    unit = [job.units[number]]
    return job.work(tokenizer, decoding, Share(0, 1), Timeline(keep=False), unit).clips_written


@functools.cache
def _opened(what: str, config: str, workdir: str) -> tuple[Job, Tokenizer, Settings]:
    settings, folder = parse(from_json(config)), pathlib.Path(workdir)
    job = open_shard_job(settings, folder, what, listed=True)
    return job, load_shard_tokenizer(settings, folder, what), settings


def parse_share(text: str) -> Share:
    """Returns the share that `i/n` means.

    Raises:
      ConfigError: if it means none.
    """
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal()):
        raise ConfigError(f"--shard={text}: give i/n, for instance 0/8 to 7/8")
    return Share(int(index), int(count))


def describe_work(clips: int, timeline: Timeline) -> str:
    """Returns a line on what this worker did and who of its parts was busy."""
    seconds = timeline.seconds
    return (
        f"This worker wrote {clips:,} clips in {seconds:.0f} s ({clips / seconds:.1f} clips/s): its decoders were "
        f"busy {timeline.busy('decode'):.0%} of the time, its encoder {timeline.busy('encode'):.0%}"
    )


def describe_shards(job: Job, manifests: Mapping[str, Manifest]) -> str:
    """Returns lines on what a job's folders hold."""
    lines = []
    for split, manifest in manifests.items():
        folder = job.out / split
        shape = " x ".join(map(str, manifest.shape))
        what = "pixels" if manifest.tokenizer.kind == "pixels" else "codes"
        lines.append(
            f"{folder}: {manifest.records:,} clips of {shape} {what} in {len(manifest.shards)} shards"
        )
        if manifest.rejected:
            lines.append(f"  {manifest.rejected:,} files could not be used; {folder / LEDGER} says why")
    return "\n".join(lines)
