"""VQGAN checkpoints of `taming-transformers` (2012.09841), and of others that kept its names, as ours.

Theirs: `encoder.down.1.block.0.nin_shortcut.weight`, `encoder.mid.attn_1.proj_out.bias`, `quant_conv.weight`,
`quantize.embedding.weight`; in a Lightning checkpoint below `state_dict`. Level 0 is the full resolution, as ours.
"""

import pathlib
import re
from typing import Any

import jax
import yaml

from toto_jax.errors import CheckpointError, ConfigError
from toto_jax.interop.conversion import Tensors, convert, shape_of
from toto_jax.interop.torch_file import read_torch_file
from toto_jax.tokenizers.vqgan import VQGAN
from toto_jax.tokenizers.vqgan_network import VQGANConfig
from toto_jax.tree import Params

LICENCE = "MIT License of CompVis/taming-transformers"
_LIGHTNING = "state_dict."
_CODEBOOK = "quantize.embedding.weight"
# Losses, discriminators and averages stand beside the network, and whole optimizers elsewhere in the file.
_PARTS = ("encoder.", "decoder.", "quantize.", "quant_conv.", "post_quant_conv.")
_PLACES = {
    "input": "conv_in",
    "norm": "norm_out",
    "output": "conv_out",
    "middle/block_1": "mid.block_1",
    "middle/attention": "mid.attn_1",
    "middle/block_2": "mid.block_2",
}
_INNER = {
    "norm_1": "norm1", "conv_1": "conv1", "norm_2": "norm2", "conv_2": "conv2", "shortcut": "nin_shortcut",
    "norm": "norm", "query": "q", "key": "k", "value": "v", "output": "proj_out",
}  # fmt: skip


def import_taming(
    checkpoint: str | pathlib.Path, settings: str | pathlib.Path | None
) -> tuple[VQGAN, Params]:
    """Returns the network and parameters of a VQGAN.

    Args:
      checkpoint: a Lightning checkpoint, or a state dict, of any width and depth.
      settings: the YAML that was published beside it, to be checked against the tensors; None where it is lost. All
        sizes are read off the tensors.

    Raises:
      CheckpointError: if a file can't be read, it is another architecture, or the two contradict one another.
    """
    found = read_torch_file(checkpoint)
    if any(name.startswith(_LIGHTNING) for name in found):
        found = {
            name.removeprefix(_LIGHTNING): array
            for name, array in found.items()
            if name.startswith(_LIGHTNING)
        }
    tensors = {name: array for name, array in found.items() if name.startswith(_PARTS)}
    network = VQGAN(infer_config(tensors, str(checkpoint)))
    if settings is not None:
        _check_settings(pathlib.Path(settings), network.config)
    abstract = jax.eval_shape(network.init, jax.random.key(0))
    return network, convert(abstract, tensors, their_name, f"{checkpoint} is not a VQGAN")


def infer_config(tensors: Tensors, where: str) -> VQGANConfig:
    """Returns the sizes that the tensors have.

    Raises:
      CheckpointError: if a tensor that says a size is missing, or no VQGAN of ours has such sizes.
    """
    what = f"{where} is no VQGAN of taming-transformers"
    if "quantize.embed.weight" in tensors:
        raise CheckpointError(f"{what} that is read here: it has a Gumbel quantizer")
    codebook_size, code_width = shape_of(tensors, _CODEBOOK, 2, what)
    width = shape_of(tensors, "encoder.conv_in.weight", 4, what)[0]
    levels = 1 + max(_numbers(tensors, r"encoder\.down\.(\d+)\."), default=0)
    outs = [
        shape_of(tensors, f"encoder.down.{level}.block.0.conv2.weight", 4, what)[0] for level in range(levels)
    ]
    if any(out % width for out in outs):
        raise CheckpointError(
            f"{where}: channels of its levels, {outs}, are no multiples of the first convolution's {width}"
        )
    try:
        return VQGANConfig(
            codebook_size=codebook_size,
            quantizer="vq",
            code_width=code_width,
            normalize=False,
            levels=(),
            codes_per_position=1,
            halvings=levels - 1,
            width=width,
            multipliers=tuple(out // width for out in outs),
            blocks=1 + max(_numbers(tensors, r"encoder\.down\.0\.block\.(\d+)\."), default=0),
            attention=tuple(sorted(set(_numbers(tensors, r"encoder\.down\.(\d+)\.attn\.")))),
            latent=shape_of(tensors, "encoder.conv_out.weight", 4, what)[0],
        )
    except ConfigError as error:
        raise CheckpointError(f"{where} has sizes that our VQGAN can't have: {error}") from error


def their_name(ours: str) -> str:
    """Returns taming's name of one of our parameters."""
    part, *module, leaf = ours.split("/")
    letter = "bias" if leaf == "bias" else "weight"
    if part == "quantizer":
        return _CODEBOOK
    if module[0] in ("to_code", "from_code"):
        return f"{'quant_conv' if module[0] == 'to_code' else 'post_quant_conv'}.{letter}"
    side = "down" if part == "encoder" else "up"
    place = "/".join(module[:2]) if module[0] == "middle" else module[0]
    inner = module[len(place.split("/")) :]
    if place in _PLACES:
        where = _PLACES[place]
    else:
        found = re.fullmatch(r"level_(\d+)_(block|attention|halve|double)_?(\d*)", place)
        level, kind = found[1], found[2]
        where = f"{side}.{level}." + {
            "halve": "downsample.conv", "double": "upsample.conv",
            "block": f"block.{int(found[3] or 1) - 1}", "attention": f"attn.{int(found[3] or 1) - 1}",
        }[kind]  # fmt: skip
    return ".".join([part, where, *(_INNER[name] for name in inner), letter])


def _numbers(tensors: Tensors, pattern: str) -> list[int]:
    return [int(found[1]) for name in tensors if (found := re.match(pattern, name))]


def _check_settings(path: pathlib.Path, config: VQGANConfig) -> None:
    """Raises CheckpointError if the YAML can't be read, or speaks of another network."""
    try:
        params = yaml.safe_load(path.read_text())["model"]["params"]
        said = {
            "n_embed": params["n_embed"],
            "embed_dim": params["embed_dim"],
            **{name: params["ddconfig"][name] for name in ("ch", "ch_mult", "num_res_blocks", "z_channels")},
        }
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise CheckpointError(
            f"{path} is not the YAML of a VQGAN (model.params with n_embed, embed_dim and ddconfig): {reason}"
        ) from error
    found: dict[str, Any] = {
        "n_embed": config.codebook_size,
        "embed_dim": config.code_width,
        "ch": config.width,
        "ch_mult": list(config.multipliers),
        "num_res_blocks": config.blocks,
        "z_channels": config.latent,
    }
    wrong = [
        f"{name} is {said[name]} there and {found[name]} here" for name in found if said[name] != found[name]
    ]
    if wrong:
        raise CheckpointError(f"{path} is of another model than the checkpoint: {'; '.join(wrong)}")
