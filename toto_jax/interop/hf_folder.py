"""A folder that Hugging Face's `transformers` loads: config, weights, a card, and what makes it a run of ours again.

`run.json` has the run's config and step, `tokenizer_spec.json` says which tokenizer made its codes; folders of others
have neither.
"""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import ml_collections
import numpy as np
import safetensors.numpy

from toto_jax.config import to_json
from toto_jax.errors import CheckpointError, ConfigError, StorageError
from toto_jax.tokenizers.base import TokenizerSpec
from toto_jax.tokenizers.weights_file import read_tensors
from toto_jax.video import END, FIRST_CODE, VIDEO_START, ClipGeometry

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
RUN, SPEC = "run.json", "tokenizer_spec.json"
_ADVICE = "it must be whole, and in float32, float16 or bfloat16"
CARD = """---
library_name: transformers
tags: [video, autoregressive, toto]
---

# {name}

An autoregressive model of video after "An Empirical Study of Autoregressive Pre-training from Videos" (arXiv
2501.05453), trained with toto_jax and exported from step {step:,}. It predicts discrete codes of frames, not words.

- {parameters:,} parameters, {layers} layers of width {width}; clips of {frames} frames, {height} x {codes_wide} codes
  each.
- Tokens: {start} starts a video, {end} ends it, code c is the token c + {offset}. The tokenizer is a {kind} of
  {codes:,} codes with the content hash `{hash}` (`tokenizer_spec.json`); codes of any other mean nothing to
  this model.
- Trained on: {data}. Its licence, and what the model may be used for, follow from that: fill this in before you
  publish.

```python
import torch, transformers

model = transformers.AutoModelForCausalLM.from_pretrained("{folder}")
ids = torch.tensor([[{start}, *(code + {offset} for code in codes)]])
logits = model(ids).logits  # position t predicts token t + 1
```
"""


@dataclasses.dataclass(frozen=True)
class Folder:
    """What such a folder holds.

    Attributes:
      settings: of config.json.
      tensors: by their names in `transformers`.
      run: `config` and `step` of the run that it was exported from; None in folders of others.
      spec: of the tokenizer that made its codes; None likewise.
    """

    settings: Mapping[str, Any]
    tensors: Mapping[str, np.ndarray]
    run: Mapping[str, Any] | None
    spec: TokenizerSpec | None


def _data(config: ml_collections.ConfigDict) -> str:
    sources = ", ".join(name for name, weight in config.data.mixture.items() if weight)
    return sources + (f", starting with the parameters of {config.init_from}" if config.init_from else "")


def write_folder(
    out: pathlib.Path,
    settings: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
    geometry: ClipGeometry,
    spec: TokenizerSpec,
    config: ml_collections.ConfigDict,
    step: int,
) -> None:
    """Writes the folder, config.json last, and reads the weights back.

    Args:
      out: folder; must not hold anything yet.
      settings: of config.json, as of `hf_llama.to_hugging_face`.
      tensors: by their names in `transformers`, contiguous.
      geometry: of the clips that it was trained on.
      spec: of the tokenizer that made its codes.
      config: of the run; its paths, which mean nothing elsewhere, are left out.
      step: of the checkpoint.

    Raises:
      ConfigError: if the folder holds something.
      StorageError: if it can't be written, or the weights read back differ.
    """
    if out.exists() and any(out.iterdir()):
        raise ConfigError(f"{out} is not empty; give a new folder")
    card = CARD.format(
        name=config.name, step=step, folder=out.name, start=VIDEO_START, end=END, offset=FIRST_CODE,
        data=_data(config),
        parameters=sum(array.size for array in tensors.values()), layers=settings["num_hidden_layers"],
        width=settings["hidden_size"], frames=geometry.frames, height=geometry.height, codes_wide=geometry.width,
        kind=spec.kind, codes=spec.codebook_size, hash=spec.content_hash[:12],
    )  # fmt: skip
    values = json.loads(to_json(config))
    values["data"] |= {"media": "", "shards": "", "paired": "", "annotations": []}
    values["vqgan"]["perceptual_weights"] = ""
    values["init_from"] = ""
    values["tokenizer"] |= {"path": "", "training": None}
    whole = {**settings, "bos_token_id": VIDEO_START, "eos_token_id": END}
    texts = {
        SPEC: _text(spec.to_json()),
        RUN: _text({"config": values, "step": step}),
        "README.md": card,
        CONFIG: _text(whole),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        safetensors.numpy.save_file(dict(tensors), out / WEIGHTS, {"format": "pt"})
        for name, text in texts.items():
            (out / name).write_text(text)
        back = safetensors.numpy.load_file(out / WEIGHTS)
    except OSError as error:
        raise StorageError(f"The model can't be written in {out}: {error}") from error
    wrong = [
        key
        for key in sorted(tensors.keys() | back.keys())
        if key not in tensors or key not in back or not np.array_equal(tensors[key], back[key])
    ]
    if wrong:
        raise StorageError(
            f"{out / WEIGHTS} reads back differently: {', '.join(wrong[:5])}. Is the disk sound?"
        )


def read_folder(folder: pathlib.Path) -> Folder:
    """Reads such a folder, whoever wrote it: its weights in one file, or in several with an index.

    Raises:
      CheckpointError: if it isn't one, or one of its files is missing, damaged, or not what it should be.
    """
    if not folder.is_dir():
        raise CheckpointError(f"There is no folder {folder}")
    run, spec = _read_run(folder) if (folder / RUN).is_file() else (None, None)
    return Folder(_read_json(folder / CONFIG), _read_tensors(folder), run, spec)


def _read_run(folder: pathlib.Path) -> tuple[dict[str, Any], TokenizerSpec]:
    run = _read_json(folder / RUN)
    if not (isinstance(run.get("config"), dict) and isinstance(run.get("step"), int) and run["step"] >= 0):
        raise CheckpointError(f"{folder / RUN} lacks the run's config and step; export the run anew")
    try:
        return run, TokenizerSpec.from_json(_read_json(folder / SPEC))
    except (TypeError, ConfigError) as error:
        raise CheckpointError(f"{folder / SPEC} describes no tokenizer: {error}") from error


def _read_tensors(folder: pathlib.Path) -> dict[str, np.ndarray]:
    if not (folder / INDEX).is_file():
        if not (folder / WEIGHTS).is_file():
            raise CheckpointError(
                f"{folder} has neither {WEIGHTS} nor {INDEX}; weights in other files become such when transformers "
                "loads them and saves them again"
            )
        return read_tensors(folder / WEIGHTS, _ADVICE)
    places = _read_json(folder / INDEX).get("weight_map")
    files = set(places.values()) if isinstance(places, dict) else {None}
    if not all(isinstance(file, str) and file == pathlib.PurePath(file).name for file in files):
        raise CheckpointError(f"{folder / INDEX} has no weight_map from tensors to files beside it")
    tensors: dict[str, np.ndarray] = {}
    for file in sorted(files):
        tensors |= read_tensors(folder / file, _ADVICE)
    wrong = sorted(tensors.keys() ^ places.keys())
    if wrong:
        raise CheckpointError(f"{folder / INDEX} doesn't fit the files beside it: {', '.join(wrong[:5])}")
    return tensors


def _read_json(file: pathlib.Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file} can't be read: {error}") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{file} holds a {type(found).__name__}, not settings by name")
    return found


def _text(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=2) + "\n"
