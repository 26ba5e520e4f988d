"""From a config's section to a decoder."""

import pytest

from configs.default import get_config
from toto_jax.errors import ConfigError
from toto_jax.models.decoder import build_decoder
from toto_jax.models.llama import Llama
from toto_jax.models.parametrisation import MupConfig

NO_MUP = MupConfig(**get_config().mup)


def test_the_default_config_is_a_llama() -> None:
    section = get_config().model
    decoder = build_decoder(section.kind, section, 8320, "cpu", NO_MUP)
    assert isinstance(decoder, Llama)
    assert (decoder.config.layers, decoder.config.d_model, decoder.vocabulary) == (12, 768, 8320)
    assert {field for field in vars(decoder.config)} <= set(section)


def test_equal_decoders_share_compiled_programs_and_others_do_not() -> None:
    section = dict(get_config().model)
    kind = section.pop("kind")
    first, second = (build_decoder(kind, section, 8320, "cpu", NO_MUP) for _ in range(2))
    assert first is not second
    assert (first, hash(first)) == (second, hash(second))
    assert first != build_decoder(kind, section | {"layers": 13}, 8320, "cpu", NO_MUP)
    assert first != build_decoder(kind, section, 8448, "cpu", NO_MUP)


def test_unknown_kinds_and_keys_name_the_nearest() -> None:
    section = dict(get_config().model)
    with pytest.raises(ConfigError, match="kind='lama' is unknown; did you mean 'llama'"):
        build_decoder("lama", section, 8320, "cpu", NO_MUP)
    with pytest.raises(ConfigError, match=r"config.model has no key 'layer'; did you mean 'layers'"):
        build_decoder("llama", section | {"layer": 3}, 8320, "cpu", NO_MUP)
    with pytest.raises(ConfigError, match="8196 is no multiple.*8320 is"):
        build_decoder("llama", section, 8196, "cpu", NO_MUP)


def test_attention_is_chosen_by_the_devices_that_are_compiled_for() -> None:
    section = dict(get_config().model)
    chosen = {
        name: build_decoder("llama", section, 8320, name, NO_MUP).config.attention
        for name in ("cpu", "gpu", "tpu")
    }
    assert chosen == {"cpu": "chunked", "gpu": "cudnn", "tpu": "splash"}
    with pytest.raises(ConfigError, match="'splash' runs on tpu, and these devices are cpu"):
        build_decoder("llama", section | {"attention": "splash"}, 8320, "cpu", NO_MUP)
    with pytest.raises(ConfigError, match="attention='chunks' is unknown; did you mean 'chunked'"):
        build_decoder("llama", section | {"attention": "chunks"}, 8320, "cpu", NO_MUP)
