"""A trained Toto as a folder that Hugging Face's `transformers` loads as a `LlamaForCausalLM`.

python -m toto_jax.interop.export_weights --workdir=runs/quickstart --out=exported
"""

import pathlib

from absl import flags

from toto_jax.command_line import run_command
from toto_jax.errors import ConfigError
from toto_jax.interop.hf_folder import write_folder
from toto_jax.interop.hf_llama import to_hugging_face
from toto_jax.pretrained import from_pretrained

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of the run, or of one of its checkpoints.", required=True
)
_STEP = flags.DEFINE_integer("step", None, "Which checkpoint; the newest by default.")
_OUT = flags.DEFINE_string("out", None, "Folder to write; new or empty.", required=True)


def export_weights() -> None:
    """Exports the run that the flags name."""
    out = pathlib.Path(_OUT.value)
    toto = from_pretrained(_WORKDIR.value, step=_STEP.value)
    if not toto.decoder.vocabulary:
        raise ConfigError(
            f"config.task={toto.config.task!r}: a model of patches has no vocabulary, and so is no LlamaForCausalLM; "
            "from_pretrained(...).features works"
        )
    context = toto.geometry.sequence_length - 1
    settings, tensors = to_hugging_face(toto.decoder.config, toto.decoder.folded(toto.params), context)
    write_folder(out, settings, tensors, toto.geometry, toto.tokenizer.spec, toto.config, toto.step)
    print(f"Step {toto.step} as LlamaForCausalLM in {out}; read README.md there before you publish it")


if __name__ == "__main__":
    run_command(export_weights)
