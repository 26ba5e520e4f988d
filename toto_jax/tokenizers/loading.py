"""Tokenizers on disk: a folder with `spec.json` (what it is) and `weights.safetensors` (a tensor for each
parameter)."""

import json
import pathlib

import jax

from toto_jax.errors import CheckpointError, ConfigError, StorageError, nearest
from toto_jax.tokenizers.base import Network, TokenizerSpec
from toto_jax.tokenizers.frame_tokenizer import FrameTokenizer
from toto_jax.tokenizers.kinds import NETWORKS, build_network
from toto_jax.tokenizers.weights_file import (
    WEIGHTS_NAME,
    Tensors,
    check_tensors,
    read_tensors,
    tensors_of,
    tree_of,
    write_file,
    write_tensors,
)
from toto_jax.tree import Params

SPEC_NAME = "spec.json"
_ADVICE = "copy or train the tokenizer anew"


def save_tokenizer(
    path: str | pathlib.Path, network: Network, params: Params, licence: str = ""
) -> TokenizerSpec:
    """Writes a tokenizer, spec last, so that a folder with a spec is complete.

    Args:
      path: folder; made where it is missing, overwritten where it holds a tokenizer.
      network: its structure.
      params: its parameters, as of `network.init`, readable by this process.
      licence: of the parameters, if they are somebody else's.

    Returns:
      The spec as written.

    Raises:
      CheckpointError: if the parameters are not those of such a network.
      StorageError: if the folder can't be written.
    """
    path = pathlib.Path(path)
    tensors = tensors_of(params)
    _check(network, tensors, "These parameters")
    spec = FrameTokenizer(network, params, licence).spec
    try:
        path.mkdir(parents=True, exist_ok=True)
        (path / SPEC_NAME).unlink(missing_ok=True)
        write_tensors(path / WEIGHTS_NAME, tensors)
        write_file(path / SPEC_NAME, (json.dumps(spec.to_json(), indent=2, sort_keys=True) + "\n").encode())
    except OSError as error:
        raise StorageError(f"The tokenizer can't be saved in {path}: {error}") from error
    return spec


def load_tokenizer(path: str | pathlib.Path, encode_dtype: str = "float32") -> FrameTokenizer:
    """Reads what `save_tokenizer` wrote.

    Args:
      path: its folder.
      encode_dtype: "float32", or "bfloat16" for faster convolutions in the encoder and some other codes: a tokenizer
        with a content hash of its own.

    Raises:
      ConfigError: on another dtype.
      CheckpointError: if it isn't there, is of an unknown kind, or its files are not what they were when saved.
    """
    path = pathlib.Path(path)
    spec = read_spec(path)
    if spec.kind not in NETWORKS:
        raise CheckpointError(
            f"{path} holds a tokenizer of kind {spec.kind!r}; {nearest(spec.kind, NETWORKS)}"
        )
    try:
        network = build_network(spec.kind, spec.architecture)
    except (TypeError, ConfigError) as error:
        raise CheckpointError(
            f"{path / SPEC_NAME} describes no {spec.kind} that this version knows: {error}"
        ) from error
    tensors = read_tensors(path / WEIGHTS_NAME, _ADVICE)
    _check(network, tensors, str(path / WEIGHTS_NAME))
    params = jax.tree.map(jax.numpy.asarray, tree_of(tensors))
    tokenizer = FrameTokenizer(network, params, spec.licence, encode_dtype)
    wanted = spec.encoded_in(encode_dtype)
    if tokenizer.spec != wanted:
        changed = [key for key, value in tokenizer.spec.to_json().items() if value != wanted.to_json()[key]]
        raise CheckpointError(
            f"{path} has changed since it was saved: {', '.join(changed)} of {SPEC_NAME} doesn't fit the weights. "
            "Codes would differ from those of shards written before; copy or train it anew"
        )
    return tokenizer


def read_spec(path: pathlib.Path) -> TokenizerSpec:
    """Reads what a saved tokenizer is, without its weights.

    Raises:
      CheckpointError: if there is none in `path`, or it can't be read.
    """
    file = path / SPEC_NAME
    if not file.is_file():
        what = f"{path} has no {SPEC_NAME}" if path.is_dir() else f"There is no folder {path}"
        raise CheckpointError(
            f"{what}, so no tokenizer. Give the folder of a saved one, or train one: python -m toto_jax.main "
            "--config=configs/tokenizers/dvae.py --workdir=... --config.data.media=... saves it in <workdir>/tokenizer"
        )
    try:
        return TokenizerSpec.from_json(json.loads(file.read_text()))
    except (ValueError, TypeError, ConfigError) as error:
        raise CheckpointError(f"{file} can't be read ({error}); {_ADVICE}") from error


def _check(network: Network, tensors: Tensors, where: str) -> None:
    abstract = jax.eval_shape(network.init, jax.random.key(0))
    check_tensors(abstract, tensors, f"{where} are not those of {network.config}")
