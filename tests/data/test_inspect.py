"""The command over a run's shards, and over shards that aren't what they were."""

import pathlib
import re
import shutil

import numpy as np
from PIL import Image

from tests.processes import end, run, start
from toto_jax.data.manifest import clip_index, read_manifest
from toto_jax.data.shard_reader import read_clips
from toto_jax.errors import CheckpointError, ConfigError, DataError
from toto_jax.tokenizers.loading import load_tokenizer


def test_codes_are_described_checked_and_decoded(finished: pathlib.Path, tmp_path: pathlib.Path) -> None:
    folder = finished / "shards" / "media" / "train"
    manifest = read_manifest(folder)
    output = run("data.inspect", str(folder), f"--out={tmp_path / 'sub' / 'look.png'}", "--clips=3")
    files = {name for record in clip_index(folder, manifest) for name in record.sources}
    assert f"{manifest.records} clips ({manifest.records} of videos) from {len(files)} files" in output
    assert "4 x 4 x 4 codes of 32" in output
    assert f"written by dvae {manifest.tokenizer.content_hash[:12]} in float32" in output
    assert "every byte as it was written" in output
    assert f"{len(manifest.class_names)} classes: " in output
    assert "0 inputs were rejected" in output
    sheet = np.asarray(Image.open(tmp_path / "sub" / "look.png"))
    assert sheet.shape[0] > 3 * 90, "three rows of frames"
    assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 50, "pictures, not a blank page"


def test_pixels_need_no_tokenizer_and_can_try_one(finished: pathlib.Path, tmp_path: pathlib.Path) -> None:
    folder, path = finished / "tokenizer_run" / "shards" / "media" / "train", finished / "tokenizer"
    arguments = (str(folder), f"--out={tmp_path / 'look.png'}", "--clips=5")
    output = run("data.inspect", *arguments)
    assert "16 x 16 x 3 pixels" in output
    assert "PSNR" not in output
    manifest = read_manifest(folder)
    pixels = read_clips(folder, manifest, np.linspace(0, manifest.records - 1, 5).astype(int))
    codes, shown = {}, []
    for dtype in ("float32", "bfloat16"):
        tokenizer = load_tokenizer(path, dtype)
        codes[dtype] = tokenizer.encode(pixels)
        error = np.square(pixels / 255 - tokenizer.decode(codes[dtype]) / 255).mean()
        shown.append(
            f"dvae {tokenizer.spec.content_hash[:12]} in {dtype}: PSNR {-10 * np.log10(error):.2f} dB"
        )
    share = 100 * np.mean(codes["float32"] != codes["bfloat16"])
    used, counts = np.unique(codes["float32"], return_counts=True)
    perplexity = np.prod((counts.sum() / counts) ** (counts / counts.sum()))
    shown[0] += r", SSIM -?\d\.\d{4}, " + (
        f"{len(used)} of 32 codes used \\({100 * len(used) / 32:.1f}%\\), perplexity {perplexity:.1f}\n"
    )
    output = run("data.inspect", *arguments, f"--tokenizer={path}")
    assert re.search(shown[0], output), output
    assert re.search(f"{shown[1]}, .*, {share:.2f}% of 80 codes others than in float32", output), output
    sheet = np.asarray(Image.open(tmp_path / "look.png"))
    generated = (sheet == (0, 114, 178)).all(-1).any(1)
    assert 0 < generated.argmax() < len(sheet), "decoded frames, in blue borders, below the originals"


def test_a_flipped_bit_is_found_before_anything_is_said(
    finished: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "shards"
    shutil.copytree(finished / "shards" / "media" / "validation", folder)
    shard = next(folder.glob("*.array_record"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    output = end(start("data.inspect", str(folder)), DataError.exit_code)
    assert f"{shard.name} has changed since it was written" in output
    assert "clips (" not in output


def test_a_tokenizer_that_is_missing_or_another_is_an_error(
    finished: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "shards"
    shutil.copytree(finished / "shards" / "media" / "validation", folder)
    out = f"--out={tmp_path / 'look.png'}"
    assert "No tokenizer lies beside" in end(start("data.inspect", str(folder), out), ConfigError.exit_code)
    nowhere = start("data.inspect", str(folder), out, f"--tokenizer={tmp_path}")
    assert "no tokenizer" in end(nowhere, CheckpointError.exit_code)
    assert "Name one folder" in end(start("data.inspect"), ConfigError.exit_code)
