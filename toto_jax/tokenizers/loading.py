"""Tokenizers on disk: a folder with `spec.json` (what it is) and `weights.safetensors` (a tensor for each
parameter)."""

import json
import pathlib
from typing import Any

import jax
import numpy as np
import safetensors
import safetensors.numpy

from toto_jax.errors import CheckpointError, ConfigError, StorageError, nearest
from toto_jax.tokenizers.base import Network, TokenizerSpec
from toto_jax.tokenizers.frame_tokenizer import FrameTokenizer
from toto_jax.tokenizers.kinds import NETWORKS, build_network
from toto_jax.tree import Params, named_leaves

SPEC_NAME = "spec.json"
WEIGHTS_NAME = "weights.safetensors"


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
    # Contiguous, because safetensors writes the bytes of other arrays in another order without a word.
    tensors = {name: np.ascontiguousarray(leaf) for name, leaf in named_leaves(params).items()}
    _check_tensors(network, tensors, "These parameters")
    spec = FrameTokenizer(network, params, licence).spec
    try:
        path.mkdir(parents=True, exist_ok=True)
        (path / SPEC_NAME).unlink(missing_ok=True)
        _write(path / WEIGHTS_NAME, safetensors.numpy.save(tensors))
        _write(path / SPEC_NAME, (json.dumps(spec.to_json(), indent=2, sort_keys=True) + "\n").encode())
    except OSError as error:
        raise StorageError(f"The tokenizer can't be saved in {path}: {error}") from error
    return spec


def load_tokenizer(path: str | pathlib.Path) -> FrameTokenizer:
    """Reads what `save_tokenizer` wrote.

    Args:
      path: its folder.

    Raises:
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
    tensors = _read_weights(path / WEIGHTS_NAME)
    _check_tensors(network, tensors, str(path / WEIGHTS_NAME))
    tokenizer = FrameTokenizer(network, _tree(tensors), spec.licence)
    if tokenizer.spec != spec:
        changed = [key for key, value in tokenizer.spec.to_json().items() if value != spec.to_json()[key]]
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
        raise CheckpointError(f"{file} can't be read ({error}); copy or train the tokenizer anew") from error


def _read_weights(file: pathlib.Path) -> dict[str, np.ndarray]:
    if not file.is_file():
        raise CheckpointError(
            f"{file} is missing, though its spec is there; copy or train the tokenizer anew"
        )
    try:
        return safetensors.numpy.load_file(file)
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise CheckpointError(
            f"{file} ({file.stat().st_size:,} bytes) is damaged or cut short ({error}); "
            "copy or train the tokenizer anew"
        ) from error


def _check_tensors(network: Network, tensors: dict[str, np.ndarray], where: str) -> None:
    """Raises CheckpointError with every tensor that is missing, unknown, or of another shape or dtype."""
    wanted = {
        name: f"{leaf.dtype} {leaf.shape}"
        for name, leaf in named_leaves(jax.eval_shape(network.init, jax.random.key(0))).items()
    }
    found = {name: f"{array.dtype} {array.shape}" for name, array in tensors.items()}
    wrong = [
        f"{name}: {found.get(name, 'missing')} instead of {wanted.get(name, 'nothing')}"
        for name in sorted(wanted | found)
        if found.get(name) != wanted.get(name)
    ]
    if wrong:
        raise CheckpointError(f"{where} are not those of {network.config}:\n  " + "\n  ".join(wrong))


def _tree(tensors: dict[str, np.ndarray]) -> dict[str, Any]:
    """Returns the nested dict whose path names are the tensors'."""
    tree: dict[str, Any] = {}
    for name, array in tensors.items():
        *branches, leaf = name.split("/")
        branch = tree
        for part in branches:
            branch = branch.setdefault(part, {})
        branch[leaf] = jax.numpy.asarray(array)
    return tree


def _write(path: pathlib.Path, content: bytes) -> None:
    """Writes a file that is either complete or not there."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(content)
    temporary.replace(path)
