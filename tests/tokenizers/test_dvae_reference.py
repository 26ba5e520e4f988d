"""Parity with OpenAI's DALL-E package on random weights: logits, codes and pictures."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toto_jax.tokenizers.dvae import DVAE
from toto_jax.tokenizers.dvae_network import DVAEConfig, map_pixels, reconstruction
from toto_jax.tokenizers.frame_tokenizer import FrameTokenizer
from toto_jax.tree import named_leaves

pytestmark = pytest.mark.reference
torch = pytest.importorskip("torch", reason="the reference is written in PyTorch")
dall_e = pytest.importorskip(
    "dall_e", reason="the reference is OpenAI's package: pip install --no-deps DALL-E==0.1"
)

VOCABULARY = 64


def reference_name(ours: str) -> str:
    """Returns the package's name of one of our parameters, without the last `w` or `b`."""
    block = re.fullmatch(r"group_(\d)_block_(\d)/(conv_\d|identity)/\w+", ours)
    if block is None:
        return {"input": "blocks.input", "output": "blocks.output.conv"}[ours.split("/")[0]]
    group, number, conv = block.groups()
    path = "id_path" if conv == "identity" else f"res_path.{conv}"
    return f"blocks.group_{group}.block_{number}.{path}"


def from_reference(module: Any, abstract: Any) -> dict[str, Any]:
    """Returns a module's weights in our tree: kernels (out, in, h, w) become (h, w, in, out)."""
    state = {name: tensor.detach().numpy() for name, tensor in module.state_dict().items()}
    used = set()

    def leaf(path: Any, shape: jax.ShapeDtypeStruct) -> jax.Array:
        (ours,) = [name for name, found in named_leaves(abstract).items() if found is shape]
        kernel = ours.endswith("/kernel")
        theirs = f"{reference_name(ours)}.{'w' if kernel else 'b'}"
        used.add(theirs)
        array = state[theirs].transpose(2, 3, 1, 0) if kernel else state[theirs]
        assert array.shape == shape.shape
        return jnp.asarray(array)

    tree = jax.tree.map_with_path(leaf, abstract)
    assert used == set(state)
    return tree


@pytest.fixture(scope="module", params=[(8, 8, 2), (16, 24, 1), (32, 16, 2)], ids=lambda p: f"width{p[0]}")
def pair(request: pytest.FixtureRequest) -> tuple[Any, Any, DVAEConfig, Any]:
    """Their encoder and decoder, our sizes, and our parameters with their weights."""
    width, stem, blocks = request.param
    torch.manual_seed(0)
    encoder = dall_e.Encoder(n_hid=width, n_blk_per_group=blocks, vocab_size=VOCABULARY)
    decoder = dall_e.Decoder(n_init=stem, n_hid=width, n_blk_per_group=blocks, vocab_size=VOCABULARY)
    with torch.no_grad():
        for name, tensor in [*encoder.named_parameters(), *decoder.named_parameters()]:
            if name.endswith(".b"):
                tensor.normal_(std=0.3)  # they start at zero, and zeros test nothing
    config = DVAEConfig(VOCABULARY, width, stem, halvings=3, blocks=blocks)
    abstract = jax.eval_shape(DVAE(config).init, jax.random.key(0))
    params = {
        "encoder": from_reference(encoder, abstract["encoder"]),
        "decoder": from_reference(decoder, abstract["decoder"]),
    }
    return encoder, decoder, config, params


def pictures() -> np.ndarray:
    """Smooth random colours, uint8: white noise would give every place nearly the same code."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0, 255, (2, 3, 4, 4, 3))
    return np.repeat(np.repeat(coarse, 8, axis=2), 8, axis=3).astype(np.uint8)


def to_torch(x_NHWC: Any) -> Any:
    return torch.from_numpy(np.array(x_NHWC, np.float32).transpose(0, 3, 1, 2))


def test_logits_and_codes(pair: tuple[Any, Any, DVAEConfig, Any]) -> None:
    encoder, _, config, params = pair
    video = pictures()
    frames = video.reshape(-1, 32, 32, 3)
    with torch.no_grad():
        wanted = encoder(dall_e.map_pixels(to_torch(frames / 255))).numpy().transpose(0, 2, 3, 1)
    got = DVAE(config).encode_logits(params, map_pixels(jnp.asarray(frames)))
    assert wanted.std() > 0.1
    np.testing.assert_allclose(got, wanted, atol=2e-5 * np.abs(wanted).max())
    codes = FrameTokenizer(DVAE(config), params).encode(video)
    np.testing.assert_array_equal(codes.reshape(-1, 4, 4), wanted.argmax(-1))
    assert len(np.unique(codes)) > 3


def test_pictures(pair: tuple[Any, Any, DVAEConfig, Any]) -> None:
    _, decoder, config, params = pair
    codes = np.random.default_rng(1).integers(0, VOCABULARY, (2, 3, 4, 4))
    one_hot = np.eye(VOCABULARY)[codes.reshape(-1, 4, 4)]
    with torch.no_grad():
        stats = decoder(to_torch(one_hot))
        pixels = dall_e.unmap_pixels(torch.sigmoid(stats[:, :3])).numpy().transpose(0, 2, 3, 1)
    wanted = stats.numpy().transpose(0, 2, 3, 1)
    got = DVAE(config).decode_codes(params, jnp.asarray(codes.reshape(-1, 4, 4)))
    assert wanted.std() > 0.1
    np.testing.assert_allclose(got, wanted, atol=2e-5 * np.abs(wanted).max())
    np.testing.assert_allclose(reconstruction(got), pixels, atol=1e-5)
    video = FrameTokenizer(DVAE(config), params).decode(codes).reshape(-1, 32, 32, 3)
    assert np.abs(video - 255 * pixels).max() <= 0.5 + 1e-2
