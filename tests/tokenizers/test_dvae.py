"""The dVAE as functions and as a tokenizer: both decoders agree, chunks and devices don't matter, errors are told."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toto_jax.errors import ConfigError, DataError
from toto_jax.sharding.mesh import MeshConfig, make_mesh
from toto_jax.sharding.rules import shardings
from toto_jax.tokenizers import frame_tokenizer
from toto_jax.tokenizers.dvae import DVAE
from toto_jax.tokenizers.dvae_network import DVAEConfig, map_pixels, reconstruction
from toto_jax.tokenizers.frame_tokenizer import FrameTokenizer, content_hash
from toto_jax.tree import Params, count, is_axes, named_leaves

CONFIG = DVAEConfig(codebook_size=64, width=16, decoder_stem=16, halvings=2, blocks=1)


def draw(config: DVAEConfig = CONFIG) -> Params:
    """Parameters drawn without compiling; biases are as large as what they are added to, so that each matters."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(DVAE(config).init, jax.random.key(0))
    return jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(0, np.prod(leaf.shape[:-1]) ** -0.5, leaf.shape), jnp.float32),
        shapes,
    )


def clips(frames: int, height: int, width: int, batch: int = 2) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (batch, frames, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("halvings", [0, 1, 2, 3])
def test_shapes_at_any_depth_and_size(halvings: int) -> None:
    config = dataclasses.replace(CONFIG, halvings=halvings, blocks=2)
    tokenizer = FrameTokenizer(DVAE(config), draw(config))
    codes = tokenizer.encode(clips(2, 8, 24))
    assert codes.shape == (2, 2, 8 // 2**halvings, 24 // 2**halvings)
    assert codes.dtype == np.int32
    assert 0 <= codes.min() <= codes.max() < 64
    video = tokenizer.decode(codes)
    assert (video.shape, video.dtype) == ((2, 2, 8, 24, 3), np.uint8)


def test_codes_are_the_likeliest_and_their_picture_is_that_of_one_hot_vectors() -> None:
    """The tokenizer's gathered rows against the dense path that training takes."""
    dvae, params = DVAE(CONFIG), draw()
    tokenizer = FrameTokenizer(DVAE(CONFIG), params)
    video = clips(1, 16, 16)
    logits = dvae.encode_logits(params, map_pixels(jnp.asarray(video[:, 0])))
    codes = tokenizer.encode(video)
    np.testing.assert_array_equal(codes[:, 0], logits.argmax(-1))
    maps = dvae.decode_soft(params, jax.nn.one_hot(codes[:, 0], 64))
    np.testing.assert_allclose(dvae.decode_codes(params, codes[:, 0]), maps, atol=1e-5)
    wanted = 255 * np.asarray(reconstruction(maps))
    assert np.abs(tokenizer.decode(codes)[:, 0] - wanted).max() <= 0.5 + 1e-3


def test_frames_are_encoded_one_by_one() -> None:
    """No code depends on another frame, on the batch, or on how frames are cut into chunks."""
    tokenizer = FrameTokenizer(DVAE(CONFIG), draw())
    video = clips(5, 16, 16, batch=3)
    codes = tokenizer.encode(video)
    np.testing.assert_array_equal(tokenizer.encode(video[1:2, 3:4])[0, 0], codes[1, 3])
    pixels = tokenizer.decode(codes).astype(int)
    assert np.abs(pixels[2, 4] - tokenizer.decode(codes[2:, 4:])[0, 0]).max() <= 1  # rounding of a half


def test_memory_is_bounded_by_chunks_of_one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = FrameTokenizer(DVAE(CONFIG), draw())
    video = clips(5, 16, 16, batch=3)
    codes, seen = tokenizer.encode(video), []
    whole = frame_tokenizer._encode

    def watched(dvae: DVAE, dtype: str, params: Params, pixels_NHWC: np.ndarray) -> jax.Array:
        seen.append(pixels_NHWC.shape[0])
        return whole(dvae, dtype, params, pixels_NHWC)

    monkeypatch.setattr(frame_tokenizer, "_encode", watched)
    # A frame's largest activation has 16 * 16 pixels * 16 channels = 4 * 4 codes * 256 values.
    monkeypatch.setattr(frame_tokenizer, "_CHUNK_VALUES_ON_CPU", 4 * 4096 + 100)
    np.testing.assert_array_equal(tokenizer.encode(video), codes)
    assert seen == [4, 4, 4, 4]


@pytest.mark.parametrize(("data", "fsdp", "tensor"), [(8, 1, 1), (1, 4, 2)])
def test_a_mesh_changes_no_code(data: int, fsdp: int, tensor: int) -> None:
    params, video = draw(), clips(3, 16, 16)
    alone = FrameTokenizer(DVAE(CONFIG), params)
    mesh = make_mesh(MeshConfig(1, data, fsdp, 1, tensor))
    spread = jax.device_put(params, shardings(mesh, DVAE(CONFIG).logical_axes(), params))
    with jax.set_mesh(mesh):
        tokenizer = FrameTokenizer(DVAE(CONFIG), spread)
        codes = tokenizer.encode(video)
        pixels = tokenizer.decode(codes)
    assert (codes == alone.encode(video)).mean() > 0.98  # sums in another order: a near-tie may turn
    assert np.abs(pixels.astype(int) - alone.decode(codes)).max() <= 1
    assert tokenizer.spec == alone.spec


def test_every_parameter_has_as_many_axes_as_dimensions() -> None:
    shapes = jax.eval_shape(DVAE(CONFIG).init, jax.random.key(0))
    axes = named_leaves(DVAE(CONFIG).logical_axes(), is_leaf=is_axes)
    assert {name: len(names) for name, names in axes.items()} == {
        name: leaf.ndim for name, leaf in named_leaves(shapes).items()
    }
    assert axes["decoder/input/kernel"] == ("kernel", "kernel", "codes", "channels_out")
    assert axes["encoder/input/kernel"] == ("kernel", "kernel", "pixels", "channels_out")


def test_equal_networks_share_a_compiled_program() -> None:
    frame_tokenizer._encode.clear_cache()
    params, video = draw(), clips(1, 8, 8)
    for _ in range(2):
        FrameTokenizer(DVAE(dataclasses.replace(CONFIG)), params).encode(video)
    assert frame_tokenizer._encode._cache_size() == 1


def test_the_spec_tells_grid_and_origin() -> None:
    spec = FrameTokenizer(DVAE(CONFIG), draw()).spec
    assert (spec.kind, spec.codebook_size, spec.downsampling) == ("dvae", 64, 4)
    assert spec.grid(8, 24) == (2, 6)
    assert DVAEConfig(**spec.architecture) == CONFIG


def test_the_hash_is_of_each_weight_name_and_shape() -> None:
    tree = {"a": np.zeros((2, 3), np.float32), "b": np.ones(2, np.float32)}
    changed = {"a": tree["a"] + np.float32(1e-30) * (np.arange(6).reshape(2, 3) == 4), "b": tree["b"]}
    others = [
        content_hash({"width": 4}, changed),
        content_hash({"width": 8}, tree),
        content_hash({"width": 4}, {"a": tree["a"].T, "b": tree["b"]}),
        content_hash({"width": 4}, {"c": tree["a"], "b": tree["b"]}),
        content_hash({"width": 4}, {"a": tree["a"].astype(np.int32), "b": tree["b"]}),
    ]
    first = content_hash({"width": 4}, tree)
    assert len({first, *others}) == 6
    assert content_hash({"width": 4}, {"b": jnp.ones(2), "a": jnp.zeros((2, 3))}) == first


def test_what_is_no_video_is_refused() -> None:
    tokenizer = FrameTokenizer(DVAE(CONFIG), draw())
    with pytest.raises(ConfigError, match="8x16 or 12x20 would be"):
        tokenizer.encode(clips(1, 10, 18))
    with pytest.raises(ConfigError, match="uint8 video of shape"):
        tokenizer.encode(clips(1, 8, 8).astype(np.float32))
    with pytest.raises(ConfigError, match="uint8 video of shape"):
        tokenizer.encode(clips(1, 8, 8)[0])


@pytest.mark.parametrize("wrong", [-1, 64])
def test_what_is_no_code_is_refused(wrong: int) -> None:
    codes = np.full((1, 1, 2, 2), wrong)
    with pytest.raises(DataError, match=r"0\.\.63"):
        FrameTokenizer(DVAE(CONFIG), draw()).decode(codes)


def test_parameters_differ_by_seed() -> None:
    first, second = (jax.jit(DVAE(CONFIG).init)(jax.random.key(seed)) for seed in (0, 1))
    kernels = [name for name in named_leaves(first) if name.endswith("kernel")]
    assert count(first) == count(second)
    assert all(np.abs(named_leaves(first)[n] - named_leaves(second)[n]).max() > 0 for n in kernels)
