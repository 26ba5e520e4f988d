"""Each tokenizer of configs/comparison.py on real photos and videos, with the same small budget and several seeds.

  python -m benchmarks.comparison --photos=/path/to/photos --videos=/path/to/videos.txt --out=results

Photos lie as ImageNet does (train/<class>/, val/<class>/), videos in a folder or a list. For each tokenizer and seed
the tokenizer is trained on both, the shards of both are written, the same small transformer is trained and probed
for the classes of the photos. What is there already is not done again, so a run that was stopped goes on.
"""

import collections
import datetime
import json
import pathlib
import shlex
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence

from absl import flags

from benchmarks.machine import describe
from benchmarks.table import Row, markdown, page
from configs.comparison import PATCHES, TOKENIZERS
from toto_jax.analysis.ngram_counts import count_ngrams, read_frames
from toto_jax.command_line import run_command
from toto_jax.data.media import split
from toto_jax.data.sources.files import list_items
from toto_jax.errors import ConfigError
from toto_jax.evaluation.record import read_results

_PHOTOS = flags.DEFINE_string("photos", None, "Folder with train/<class>/ and val/<class>/.", required=True)
_VIDEOS = flags.DEFINE_string("videos", None, "Folder or list of videos.", required=True)
_OUT = flags.DEFINE_string(
    "out", "runs/comparison", "Folder for all runs, comparison.json and comparison.md."
)
_SEEDS = flags.DEFINE_integer("seeds", 3, "Seeds 0, 1, ...", lower_bound=1)
_ONLY = flags.DEFINE_list("only", [], "Variants; all by default.")
_OVERRIDES = flags.DEFINE_multi_string("set", [], "config.key=value for all runs.")
_CODES = {
    "psnr_db": "PSNR, dB",
    "ssim": "SSIM",
    "percent_codes_used": "codes used, %",
    "code_perplexity": "perplexity",
    "coverage_2": "2-gram coverage, %",
    "coverage_3": "3-gram coverage, %",
}
_MODEL = {
    "photos_loss": "loss, photos",
    "photos_percent_below_unigram": "below frequencies, photos, %",
    "videos_loss": "loss, videos",
    "videos_percent_below_unigram": "below frequencies, videos, %",
    "videos_percent_below_copy": "below copy, videos, %",
    "attention_accuracy": "attention probe, %",
    "attention_accuracy_random_weights": "of random weights, %",
    "average_accuracy": "average probe, %",
    "average_accuracy_random_weights": "of random weights, average, %",
}


def compare() -> None:
    """Runs all variants with all seeds, and writes and prints the table."""
    out = pathlib.Path(_OUT.value)
    variants = _ONLY.value or [*TOKENIZERS, *PATCHES]
    unknown = [name for name in variants if name not in (*TOKENIZERS, *PATCHES)]
    if unknown:
        raise ConfigError(f"--only={','.join(unknown)}: known are {', '.join((*TOKENIZERS, *PATCHES))}")
    out.mkdir(parents=True, exist_ok=True)
    media = _write_lists(out)
    measured: dict[str, list[dict[str, float]]] = {}
    for seed in range(_SEEDS.value):
        for name in variants:
            measured.setdefault(name, []).append(_run(name, seed, out, media))
    codes, model = (
        [
            _row(name, runs, columns)
            for name, runs in measured.items()
            if any(key in runs[0] for key in columns)
        ]
        for columns in (_CODES, _MODEL)
    )
    command = shlex.join(["python", *(part for part in sys.orig_argv[1:] if not part.startswith("--out"))])
    machine, date = describe(), datetime.date.today().isoformat()
    seeds = f"Mean ± standard deviation over {_SEEDS.value} seeds."
    losses = (
        "Losses are in nats a code, those of `patch` mean squared errors of normalised pixels: they compare only where "
        "codes are the same, hence what they are below code frequencies, and below copying the frame before."
    )
    text = f"{page(command, date, machine, codes, [seeds])}\n{markdown(model)}\n- {losses}\n- {_about_classes(out)}\n"
    (out / "comparison.json").write_text(json.dumps({"runs": measured, "machine": machine}, indent=1) + "\n")
    (out / "comparison.md").write_text(text)
    print(text)


def _write_lists(out: pathlib.Path) -> dict[str, list[str]]:
    """Writes lists of all media, held out the same for everybody, and returns the flags that name them."""
    photos = pathlib.Path(_PHOTOS.value).absolute()
    lines: dict[str, list[str]] = {}
    for part, folder in (("train", "train"), ("val", "val")):
        found = sorted(path for path in (photos / folder).glob("*/*") if path.is_file())
        if not found:
            raise ConfigError(f"--photos={photos} has nothing in {folder}/<class>/")
        lines[f"photos_{part}"] = [f"{path}\t{path.parent.name}" for path in found]
    videos = split(sorted(list_items(_VIDEOS.value, (), False), key=lambda item: item.name), 20.0)
    lines["videos_train"] = [f"{item.path}\tvideo" for item in videos["train"]]
    lines["videos_val"] = [f"{item.path}\tvideo" for item in videos["validation"]]
    for part in ("train", "val"):
        lines[f"both_{part}"] = lines[f"photos_{part}"] + lines[f"videos_{part}"]
    flags_of = {}
    for name, content in lines.items():
        (out / f"{name}.txt").write_text("\n".join(content) + "\n")
    for source in ("photos", "videos", "both"):
        lists = tuple(str((out / f"{source}_{part}.txt").absolute()) for part in ("train", "val"))
        flags_of[source] = [
            "--config.data.media=/",
            "--config.data.layout=listed",
            f"--config.data.annotations={lists!r}",
            f"--config.data.labels={'layout' if source == 'photos' else 'none'}",
        ]
    return flags_of


def _about_classes(out: pathlib.Path) -> str:
    labels = [line.split("\t")[1] for line in (out / "photos_val.txt").read_text().splitlines()]
    most = collections.Counter(labels).most_common(1)[0][1]
    return (
        f"Probes name the class of {len(labels)} held-out photos, of {len(set(labels))} classes: by chance "
        f"{100 / len(set(labels)):.1f}% are right, {100 * most / len(labels):.1f}% by always naming the largest."
    )


def _run(name: str, seed: int, out: pathlib.Path, media: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Returns what is measured of one variant with one seed, doing what isn't done yet."""
    workdir = (out / f"{name}_{seed}").absolute()
    tokenizer = _tokenizer_of(name)
    found: dict[str, float] = {}
    paths = []
    if tokenizer is not None:
        path = (out / f"{tokenizer}_{seed}" / "tokenizer").absolute()
        folder = path.parent / "tokenizer_run"
        _do(
            "main", f"{tokenizer}:tokenizer", seed, folder, [*media["both"], f"--config.tokenizer.path={path}"],
            folder / "results" / "reconstruction",
        )  # fmt: skip
        paths = [f"--config.tokenizer.path={path}"]
        found |= _numbers(folder, "reconstruction")
    for source in ("photos", "videos"):
        _do(
            "pretokenize", name, seed, workdir, [*media[source], *paths, f"--config.data.mixture={{'{source}': 1}}"],
            workdir / "shards" / source / "validation" / "manifest.json",
        )  # fmt: skip
    _do("main", name, seed, workdir, paths, workdir / "results" / "probes")
    for evaluator in ("validation_loss", "patch_loss", "probes"):
        found |= _numbers(workdir, evaluator)
    codes = workdir / ("paired" if name == "codes" else "shards")
    if tokenizer is not None:
        for length in (2, 3):
            counts = [
                count_ngrams(frames, length, size).summary()["coverage"]
                for frames, size in (
                    read_frames(codes / source / "validation", 10_000) for source in ("photos", "videos")
                )
            ]
            found[f"coverage_{length}"] = 100 * statistics.mean(counts)
    return found


def _tokenizer_of(name: str) -> str | None:
    if name in TOKENIZERS:
        return name
    return "dvae" if PATCHES[name] == "patch_to_code" else None


def _do(
    module: str, variant: str, seed: int, workdir: pathlib.Path, words: Sequence[str], done: pathlib.Path
) -> None:
    """Runs a command unless what it leaves is there."""
    if done.exists():
        return
    command = [sys.executable, "-m", f"toto_jax.{module}", f"--config=configs/comparison.py:{variant}"]
    command += [f"--workdir={workdir}", f"--config.seed={seed}", *words]
    command += [f"--config.{override}" for override in _OVERRIDES.value]
    print(f"\n$ {shlex.join(command)}", flush=True)
    subprocess.run(command, check=True)


def _numbers(workdir: pathlib.Path, evaluator: str) -> dict[str, float]:
    history = read_results(workdir).get(evaluator)
    return {} if history is None else history.numbers


def _row(name: str, runs: Sequence[Mapping[str, float]], columns: Mapping[str, str]) -> Row:
    row: dict[str, str | None] = {"tokenizer": name}
    for key, column in columns.items():
        values = [run[key] for run in runs if key in run]
        row[column] = None
        if values:
            spread = f" ± {statistics.stdev(values):.2g}" if len(values) > 1 else ""
            row[column] = f"{statistics.mean(values):.3g}{spread}"
    return row


if __name__ == "__main__":
    run_command(compare)
