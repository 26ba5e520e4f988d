"""A folder that Hugging Face's `transformers` loads: config, weights, a card, and the tokenizer's spec."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.numpy

from toto_jax.errors import ConfigError, StorageError
from toto_jax.tokenizers.base import TokenizerSpec
from toto_jax.video import END, FIRST_CODE, VIDEO_START, ClipGeometry

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


def write_folder(
    out: pathlib.Path,
    settings: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
    geometry: ClipGeometry,
    spec: TokenizerSpec,
    name: str,
    step: int,
    data: str,
) -> None:
    """Writes the folder, config.json last, and reads the weights back.

    Args:
      out: folder; must not hold anything yet.
      settings: of config.json, as of `hf_llama.to_hugging_face`.
      tensors: by their names in `transformers`, contiguous.
      geometry: of the clips that it was trained on.
      spec: of the tokenizer that made its codes.
      name: of the model, for its card.
      step: of the checkpoint.
      data: what it was trained on, in a few words.

    Raises:
      ConfigError: if the folder holds something.
      StorageError: if it can't be written, or the weights read back differ.
    """
    if out.exists() and any(out.iterdir()):
        raise ConfigError(f"{out} is not empty; give a new folder")
    card = CARD.format(
        name=name, step=step, data=data, folder=out.name, start=VIDEO_START, end=END, offset=FIRST_CODE,
        parameters=sum(array.size for array in tensors.values()), layers=settings["num_hidden_layers"],
        width=settings["hidden_size"], frames=geometry.frames, height=geometry.height, codes_wide=geometry.width,
        kind=spec.kind, codes=spec.codebook_size, hash=spec.content_hash[:12],
    )  # fmt: skip
    whole = {**settings, "bos_token_id": VIDEO_START, "eos_token_id": END}
    weights = out / "model.safetensors"
    try:
        out.mkdir(parents=True, exist_ok=True)
        safetensors.numpy.save_file(dict(tensors), weights, {"format": "pt"})
        (out / "tokenizer_spec.json").write_text(json.dumps(spec.to_json(), indent=2) + "\n")
        (out / "README.md").write_text(card)
        (out / "config.json").write_text(json.dumps(whole, indent=2) + "\n")
        back = safetensors.numpy.load_file(weights)
    except OSError as error:
        raise StorageError(f"The model can't be written in {out}: {error}") from error
    wrong = [
        key
        for key in sorted(tensors.keys() | back.keys())
        if key not in tensors or key not in back or not np.array_equal(tensors[key], back[key])
    ]
    if wrong:
        raise StorageError(f"{weights} reads back differently: {', '.join(wrong[:5])}. Is the disk sound?")
