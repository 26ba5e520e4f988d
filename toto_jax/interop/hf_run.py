"""A folder of a Hugging Face causal language model as a run of ours: the config that its weights fit into.

What has no place in such a folder is given beside it.
"""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import ml_collections

from toto_jax.config import to_json
from toto_jax.errors import CheckpointError, ConfigError
from toto_jax.interop import hf_gpt2, hf_llama, hf_mamba
from toto_jax.interop.hf_folder import RUN, Folder, read_folder
from toto_jax.models.decoder import decoder_config
from toto_jax.tokenizers.base import TokenizerSpec
from toto_jax.tokenizers.loading import read_spec
from toto_jax.tree import Params
from toto_jax.video import FIRST_CODE, vocabulary_size


@dataclasses.dataclass(frozen=True)
class Given:
    """What the folder of another doesn't say; one of ours says all but the tokenizer's place.

    Attributes:
      config: of which all is taken that weights, tokenizer and clips don't fix.
      frames: of a clip.
      size: of a frame, in pixels.
    """

    config: ml_collections.ConfigDict | None
    frames: int | None
    size: int | None


@dataclasses.dataclass(frozen=True)
class Run:
    """Attributes:
    config: whole.
    params: of its model.
    step: that it was exported at; 0 for weights of others.
    """

    config: ml_collections.ConfigDict
    params: Params
    step: int


# Kind of decoder -> what reads its folder, and keys of `config.model` that theirs never differ in.
READERS: Mapping[str, tuple[Callable[..., tuple[dict[str, Any], Params]], Mapping[str, Any]]] = {
    "llama": (hf_llama.from_hugging_face, {"rope_grid": (), "qk_norm": False}),
    "gpt2": (hf_gpt2.from_hugging_face, {}),
    "mamba": (hf_mamba.from_hugging_face, {}),
}


def import_model(kind: str, folder: pathlib.Path, tokenizer: pathlib.Path | None, given: Given) -> Run:
    """Returns the run that a folder's weights make with a saved tokenizer.

    Args:
      kind: of `READERS`.
      folder: as `transformers` or `export_weights` wrote it.
      tokenizer: folder of the tokenizer whose code c is the model's id c + 4.
      given: what the folder doesn't say.

    Raises:
      CheckpointError: if the folder can't be read, holds another architecture, or doesn't fit the tokenizer.
      ConfigError: if something must be given that isn't, or is given though the folder says it.
    """
    found = read_folder(folder)
    read, fixed = READERS[kind]
    keys, params = read(found.settings, found.tensors)
    if tokenizer is None:
        wanted = "" if found.spec is None else f": {found.spec.kind} {found.spec.content_hash[:12]}"
        raise ConfigError(
            f"{folder} holds no tokenizer; name the folder of the model's own as --tokenizer{wanted}"
        )
    spec = read_spec(tokenizer)
    config = _own_config(folder, found, given) if found.run else _config_around(folder, spec, given)
    if found.spec is not None and found.spec != spec.encoded_in(found.spec.encode_dtype):
        raise CheckpointError(
            f"{folder} was trained on codes of the {found.spec.kind} {found.spec.content_hash[:12]}, and {tokenizer} "
            f"holds the {spec.kind} {spec.content_hash[:12]}"
        )
    config["model"] |= {"kind": kind, **fixed, **keys}
    # Exported parameters are those of the standard parametrisation, however they were trained.
    config["mup"] = {**config.get("mup", {}), "enabled": False}
    config["model"]["vocabulary_multiple"] = _multiple(
        params["embedding"].shape[0], spec, config["model"].get("vocabulary_multiple"), folder
    )
    try:
        decoder_config(kind, config["model"])
    except ConfigError as error:
        raise CheckpointError(f"{folder} holds a {kind} that our decoder can't be: {error}") from error
    return Run(ml_collections.ConfigDict(config).lock(), params, found.run["step"] if found.run else 0)


def _own_config(folder: pathlib.Path, found: Folder, given: Given) -> dict[str, Any]:
    idle = [name for name, value in vars(given).items() if value is not None]
    if idle:
        raise ConfigError(f"{folder / RUN} has the run's config; leave out --{', --'.join(idle)}")
    config = json.loads(json.dumps(found.run["config"]))
    for name in ("model", "tokenizer", "clips"):
        if not isinstance(config.get(name), dict):
            raise CheckpointError(f"{folder / RUN} lacks the config's section {name!r}; export the run anew")
    return config


def _config_around(folder: pathlib.Path, spec: TokenizerSpec, given: Given) -> dict[str, Any]:
    missing = [name for name, value in vars(given).items() if value is None]
    if missing:
        raise ConfigError(
            f"{folder} was not exported by toto_jax: it doesn't say what clips it was trained on, nor how training "
            f"would go on. Give --{', --'.join(missing)}, e.g. --config=configs/base.py --frames=16 --size=128"
        )
    config = json.loads(to_json(given.config))
    config["task"] = "next_token"
    config["clips"] |= {"frames": given.frames, "size": given.size}
    config["tokenizer"] |= {"path": "", "training": None, "kind": spec.kind, **spec.architecture}
    return config


def _multiple(ids: int, spec: TokenizerSpec, usual: int | None, folder: pathlib.Path) -> int:
    """Returns a `vocabulary_multiple` that pads the tokenizer's vocabulary to `ids`: the usual one where it does."""
    least = spec.codebook_size + FIRST_CODE
    if ids < least:
        raise CheckpointError(
            f"{folder} knows {ids:,} ids, and a tokenizer of {spec.codebook_size:,} codes needs {least:,}: code c is "
            f"the id c + {FIRST_CODE}"
        )
    return usual if usual and vocabulary_size(spec.codebook_size, usual) == ids else ids
