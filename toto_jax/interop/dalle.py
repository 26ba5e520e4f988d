"""DALL-E's published dVAE (2102.12092), `encoder.pkl` and `decoder.pkl`, as ours.

Their names: `blocks.input.w`, `blocks.group_1.block_1.res_path.conv_1.w`, `blocks.group_2.block_1.id_path.b`,
`blocks.output.conv.w`; kernels are (out, in, height, width), ours (height, width, in, out).
"""

import pathlib
import re

import jax

from toto_jax.errors import CheckpointError, ConfigError
from toto_jax.interop.conversion import Tensors, convert
from toto_jax.interop.torch_file import read_torch_file
from toto_jax.tokenizers.convolutions import COLOURS
from toto_jax.tokenizers.dvae import DVAE
from toto_jax.tokenizers.dvae_network import DVAEConfig
from toto_jax.tree import Params

LICENCE = "Modified MIT License of openai/DALL-E: MIT, and tell people that you use the model"


def import_dalle(encoder: str | pathlib.Path, decoder: str | pathlib.Path) -> tuple[DVAE, Params]:
    """Returns the network and parameters of a dVAE from the two files of its encoder and its decoder.

    Args:
      encoder: a file that `torch.save` wrote of the module or its state dict, of any width and depth.
      decoder: the same of the decoder.

    Raises:
      CheckpointError: if a file can't be read, or the two are not encoder and decoder of one dVAE.
    """
    encoder_tensors, decoder_tensors = read_torch_file(encoder), read_torch_file(decoder)
    network = DVAE(infer_config(encoder_tensors, decoder_tensors))
    abstract = jax.eval_shape(network.init, jax.random.key(0))
    return network, {
        "encoder": convert(
            abstract["encoder"], encoder_tensors, their_name, f"{encoder} is not a dVAE's encoder"
        ),
        "decoder": convert(
            abstract["decoder"], decoder_tensors, their_name, f"{decoder} is not a dVAE's decoder"
        ),
    }


def infer_config(encoder: Tensors, decoder: Tensors) -> DVAEConfig:
    """Returns the sizes that the tensors have.

    Raises:
      CheckpointError: if a tensor that says a size is missing, or no dVAE of ours has such sizes.
    """
    for what, tensors in (("encoder", encoder), ("decoder", decoder)):
        for name in ("blocks.input.w", "blocks.output.conv.w"):
            if name not in tensors or tensors[name].ndim != 4:
                raise CheckpointError(
                    f"The {what}'s file has no kernel {name!r}; it has {', '.join(sorted(tensors)[:4])}, ... "
                    "Give encoder.pkl and decoder.pkl of DALL-E, in this order"
                )
    if encoder["blocks.input.w"].shape[1] != COLOURS:
        raise CheckpointError(
            f"The first file's input takes {encoder['blocks.input.w'].shape[1]} channels where an encoder takes "
            f"{COLOURS} colours; give the encoder first, then the decoder"
        )
    places = [found for name in encoder if (found := re.match(r"blocks\.group_(\d+)\.block_(\d+)\.", name))]
    if not places:
        raise CheckpointError("The encoder's file has no residual blocks (blocks.group_1.block_1...)")
    try:
        return DVAEConfig(
            codebook_size=encoder["blocks.output.conv.w"].shape[0],
            width=encoder["blocks.input.w"].shape[0],
            decoder_stem=decoder["blocks.input.w"].shape[0],
            halvings=max(int(found[1]) for found in places) - 1,
            blocks=max(int(found[2]) for found in places),
        )
    except ConfigError as error:
        raise CheckpointError(f"The files have sizes that our dVAE can't have: {error}") from error


def their_name(ours: str) -> str:
    """Returns DALL-E's name of one of our parameters: `group_1_block_2/conv_3/bias` -> `...res_path.conv_3.b`."""
    *module, leaf = ours.split("/")
    letter = {"kernel": "w", "bias": "b"}[leaf]
    block = re.fullmatch(r"group_(\d+)_block_(\d+)", module[0])
    if block is None:
        return f"blocks.{'output.conv' if module[0] == 'output' else module[0]}.{letter}"
    path = "id_path" if module[1] == "identity" else f"res_path.{module[1]}"
    return f"blocks.group_{block[1]}.block_{block[2]}.{path}.{letter}"
