"""Shards of pixels and of codes of the same clips: read together, and refused where they are of others."""

import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np
import pytest

from tests.data.whole_job import pretokenize
from toto_jax.data.clips import ClipsConfig
from toto_jax.data.manifest import Manifest
from toto_jax.data.pairing import check_paired
from toto_jax.data.pipeline import Pipeline, check_pixels
from toto_jax.errors import ConfigError, DataError
from toto_jax.tokenizers.base import TokenizerSpec

Write = Callable[..., dict[str, Manifest]]


class Greys:
    """Codes are the brightness of the middle of 4 x 4 pixels."""

    spec = TokenizerSpec("dvae", 256, 4, {}, "g" * 64)

    def encode(self, video_BFHWC: np.ndarray) -> np.ndarray:
        return video_BFHWC[:, :, 2::4, 2::4, 0].astype(np.int32)


@pytest.fixture
def write(tmp_path: pathlib.Path, clips_config: Callable[..., ClipsConfig], data_config, decoding) -> Write:
    def one(name: str, codes: bool, seed: int = 0, **changes: int | float) -> dict[str, Manifest]:
        tokenizer = Greys() if codes else None
        clips = clips_config(**{"synthetic_clips": 24, **changes})
        data = data_config("synthetic", labels="layout")
        return pretokenize(data, clips, decoding, tokenizer, tmp_path / name / "films", seed)

    return one


def pipeline(tmp_path: pathlib.Path, paired: str, **changes: int) -> Pipeline:
    return Pipeline(tmp_path / "pixels", {"films": 1}, 4, 0, paired=tmp_path / paired, **changes)


def test_a_batch_holds_the_pixels_and_the_codes_of_the_same_clips(
    tmp_path: pathlib.Path, write: Write
) -> None:
    write("pixels", codes=False)
    # Another size of encoder's batch and of shards makes the same clips.
    write("codes", codes=True, encode_batch=3, files_per_shard=5)
    data = pipeline(tmp_path, "codes")
    seen = []
    for step in (0, 3):
        batch = data.batch_at(step)
        assert set(batch) == {"pixels", "start", "ids"}
        codes = Greys().encode(batch["pixels"]).reshape(4, -1)
        np.testing.assert_array_equal(batch["ids"][:, 1:-1], codes + 4)
        np.testing.assert_array_equal(batch["start"], batch["ids"][:, 0])
        seen += [row.tobytes() for row in batch["pixels"]]
    assert len(set(seen)) > 4
    halves = [
        pipeline(tmp_path, "codes", process_index=index, process_count=2).batch_at(3) for index in (0, 1)
    ]
    for name, rows in batch.items():
        np.testing.assert_array_equal(rows, np.concatenate([half[name] for half in halves]))


def test_what_was_made_otherwise_is_named(tmp_path: pathlib.Path, write: Write) -> None:
    write("pixels", codes=False)
    write("stride", codes=True, stride=1)
    write("seed", codes=True, seed=1)
    with pytest.raises(DataError, match=r"(?s)same clips, but were made.*clips.stride: 2 -> 1.*same media"):
        pipeline(tmp_path, "stride")
    with pytest.raises(DataError, match="seed: 0 -> 1"):
        pipeline(tmp_path, "seed")


def test_other_clips_are_named_though_all_else_is_equal(tmp_path: pathlib.Path, write: Write) -> None:
    manifest = write("pixels", codes=False)["train"]
    write("codes", codes=True)
    folders = [tmp_path / name / "films" / "train" for name in ("pixels", "codes")]
    index = folders[1] / manifest.shards[0].index
    header, first, second, *rest = index.read_text().splitlines()
    index.write_text("\n".join([header, second, first, *rest]) + "\n")
    with pytest.raises(
        DataError, match=r"(?s)Clip 0 of .*pixels/films/train is not that of .*codes/films/train"
    ):
        pipeline(tmp_path, "codes")
    index.write_text("\n".join([header, first, second]) + "\n")
    with pytest.raises(DataError, match="jsonl has 2 lines for 3 clips"):
        pipeline(tmp_path, "codes")
    fewer = dataclasses.replace(manifest, shards=manifest.shards[1:])
    with pytest.raises(DataError, match=r"pixels/films/train holds \d+ clips and .*codes/films/train \d+"):
        check_paired(folders[0], manifest, folders[1], fewer)


def test_codes_and_other_sizes_are_no_pixels(write: Write) -> None:
    pixels, codes = write("pixels", codes=False)["train"], write("codes", codes=True)["train"]
    check_pixels({"films": pixels}, frames=4, size=16)
    with pytest.raises(ConfigError, match="'films' hold codes of the tokenizer dvae.*kind=pixels"):
        check_pixels({"films": codes}, frames=4, size=16)
    with pytest.raises(ConfigError, match=r"clips.frames=4 and config.clips.size=16"):
        check_pixels({"films": pixels}, frames=8, size=16)
