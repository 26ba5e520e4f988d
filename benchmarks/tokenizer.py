"""Encoding of frames to codes beside the `DALL-E` package's encoder on torch, at the published sizes.

  python -m benchmarks.tokenizer
  python -m benchmarks.tokenizer --frames=256

Both have the same random parameters and take the same uint8 frames in the host's memory to codes there. On a GPU the
package computes in float16 where it can, as published, ours as `tokenizers.dvae` does.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import flags

from benchmarks.bench import Bench, UnequalWork, command
from benchmarks.table import Row
from benchmarks.timing import median_seconds, ratio

_FRAMES = flags.DEFINE_integer("frames", 8, "Frames in a round.")
_SIZE = flags.DEFINE_integer("size", 128, "Pixels of a side.")
# Near ties of random parameters may fall either way.
SAME = 0.95


def ours(architecture: Mapping[str, Any], frames: int, size: int, folder: str) -> tuple[dict[str, Any], Any]:
    import jax
    import safetensors.numpy

    from toto_jax.tokenizers.dvae import DVAE
    from toto_jax.tokenizers.dvae_network import DVAEConfig
    from toto_jax.tokenizers.frame_tokenizer import FrameTokenizer
    from toto_jax.tree import count, named_leaves

    config = DVAEConfig(**architecture)
    params = jax.jit(DVAE(config).init)(jax.random.key(0))
    frames_NHWC = np.random.default_rng(0).integers(0, 256, (frames, size, size, 3), np.uint8)
    tensors = {name: np.ascontiguousarray(leaf) for name, leaf in named_leaves(params["encoder"]).items()}
    safetensors.numpy.save_file(
        {**tensors, "frames": frames_NHWC}, pathlib.Path(folder) / "shared.safetensors"
    )
    tokenizer = FrameTokenizer(DVAE(config), params)
    codes = tokenizer.encode(frames_NHWC[None])

    def work() -> None:
        tokenizer.encode(frames_NHWC[None])

    return {"parameters": count(params["encoder"]), "codes": codes.ravel().tolist()}, work


def compare(bench: Bench) -> list[Row]:
    architecture = {"codebook_size": 8192, "width": 256, "decoder_stem": 128, "halvings": 3, "blocks": 2}
    frames, size = _FRAMES.value, _SIZE.value
    if bench.smoke:
        architecture, frames, size = {**architecture, "width": 64, "codebook_size": 512}, 2, 32
    shared = {"architecture": architecture, "folder": str(bench.folder)}
    bench.add("ours", "benchmarks.tokenizer:ours", needed=True, frames=frames, size=size, **shared)
    for name, compiled in (("DALL-E eager", False), ("DALL-E torch.compile", True)):
        if bench.add(name, "benchmarks.peers.dalle:encode", compiled=compiled, **shared):
            check_equal(bench, name)
    samples = bench.run()
    return [
        {
            "contestant": name,
            "frames/s": frames / median_seconds(taken),
            "ours is faster by": None if name == "ours" else ratio(taken, samples["ours"]),
        }
        for name, taken in samples.items()
    ]


def check_equal(bench: Bench, peer: str) -> None:
    """Stops unless both have as many parameters and nearly all codes agree."""
    a, b = bench.facts["ours"], bench.facts[peer]
    same = (np.array(a["codes"]) == np.array(b["codes"])).mean()
    if a["parameters"] != b["parameters"] or same < SAME:
        raise UnequalWork(
            f"Ours has {a['parameters']:,} parameters, {peer} {b['parameters']:,}; {same:.1%} of the codes agree"
        )
    bench.notes.append(f"{peer} gives {same:.2%} of our codes.")


if __name__ == "__main__":
    command("tokenizer", compare)
