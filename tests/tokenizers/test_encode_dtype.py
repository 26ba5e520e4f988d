"""Encoding in bfloat16: convolutions in it, the choice of codes in float32, and a tokenizer of its own."""

import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.tokenizers.tiny_vqgan import tiny_vqgan
from toto_jax.errors import ConfigError
from toto_jax.tokenizers.base import Network, TokenizerSpec
from toto_jax.tokenizers.dvae import DVAE
from toto_jax.tokenizers.dvae_network import DVAEConfig
from toto_jax.tokenizers.frame_tokenizer import FrameTokenizer
from toto_jax.tokenizers.loading import load_tokenizer, read_spec, save_tokenizer

NETWORKS = [
    DVAE(DVAEConfig(codebook_size=32, width=8, decoder_stem=8, halvings=2, blocks=1)),
    tiny_vqgan(attention=(1,)),
]
VIDEO = np.random.default_rng(0).integers(0, 256, (1, 24, 16, 16, 3), dtype=np.uint8)


def params_of(network: Network) -> Any:
    """Kernels that keep the variance, so that codes are as mixed as those of a trained one."""
    rng = np.random.default_rng(0)

    def draw(leaf: jax.ShapeDtypeStruct) -> jax.Array:
        fan_in = np.prod(leaf.shape[:-1]) if leaf.ndim > 1 else 100
        return jnp.asarray(rng.normal(0, np.sqrt(2 / fan_in), leaf.shape), jnp.float32)

    return jax.tree.map(draw, jax.eval_shape(network.init, jax.random.key(0)))


def products(jaxpr: Any) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yields (dtype of the factors, shape of the result) of each convolution and product, in order."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("conv_general_dilated", "dot_general"):
            yield equation.invars[0].aval.dtype.name, equation.outvars[0].aval.shape
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", None)
            if inner is not None:
                yield from products(inner)


@pytest.mark.parametrize("network", NETWORKS, ids=["dvae", "vqgan"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_all_but_the_last_products_are_in_the_dtype(network: Network, dtype: str) -> None:
    params = params_of(network)
    traced = jax.make_jaxpr(lambda pixels: network.codes(params, pixels, dtype))(VIDEO[0])
    found = [name for name, _ in products(traced.jaxpr)]
    assert len(found) > 8
    exact = 1 if network.kind == "dvae" else 2  # logits; or the width of a code, and distances
    assert found[-exact:] == ["float32"] * exact
    assert set(found[:-exact]) == {dtype}


@pytest.mark.parametrize("network", NETWORKS, ids=["dvae", "vqgan"])
def test_few_codes_change_and_the_tokenizer_is_another(tmp_path: pathlib.Path, network: Network) -> None:
    params = params_of(network)
    saved = save_tokenizer(tmp_path, network, params)
    exact, rounded = load_tokenizer(tmp_path), load_tokenizer(tmp_path, "bfloat16")
    codes = exact.encode(VIDEO)
    np.testing.assert_array_equal(codes, FrameTokenizer(network, params).encode(VIDEO))
    changed = (rounded.encode(VIDEO) != codes).mean()
    assert 0 < changed < 0.2, f"{changed:.0%} of codes changed"
    assert len(np.unique(codes)) > 2
    np.testing.assert_array_equal(rounded.decode(codes), exact.decode(codes))
    assert exact.spec == saved == read_spec(tmp_path)
    assert rounded.spec == saved.encoded_in("bfloat16")
    assert rounded.spec.content_hash != saved.content_hash
    assert TokenizerSpec.from_json(rounded.spec.to_json()) == rounded.spec
    assert saved.encoded_in("float32") == saved


def test_an_unknown_dtype_is_refused(tmp_path: pathlib.Path) -> None:
    save_tokenizer(tmp_path, NETWORKS[0], params_of(NETWORKS[0]))
    with pytest.raises(ConfigError, match="encode_dtype='bfloat' is unknown; did you mean 'bfloat16'"):
        load_tokenizer(tmp_path, "bfloat")
