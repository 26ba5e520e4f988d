import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toto_jax.errors import ConfigError
from toto_jax.models.llama import Llama, LlamaConfig
from toto_jax.tasks.next_token import NextToken, NextTokenConfig
from toto_jax.video import ClipGeometry, to_sequences

GEOMETRY = ClipGeometry(2, 2, 2)
CONFIG = LlamaConfig(
    layers=1, d_model=16, heads=2, kv_heads=2, head_dim=8, d_ff=16, rope_base=1e4,
    rope_grid=(), qk_norm=False, norm_eps=1e-6, init_std=0.1,
    tied_head=False, vocabulary_multiple=8, dtype="float32", attention="chunked", remat="none", scan_unroll=1,
)  # fmt: skip


def task(end_token_loss: bool = True) -> NextToken:
    return NextToken(Llama(CONFIG, 16), GEOMETRY, NextTokenConfig(end_token_loss, loss_chunks=2))


@pytest.fixture
def ids_BT() -> np.ndarray:
    codes_BN = np.random.default_rng(0).integers(0, 12, (3, GEOMETRY.codes))
    return to_sequences(codes_BN, np.array([1, 1, 3]))


def test_the_loss_counts_every_target_and_the_code_loss_only_codes(ids_BT: np.ndarray) -> None:
    learned = task()
    params = learned.init(jax.random.key(0))
    nll_BT = np.asarray(learned.nll(params, ids_BT))
    assert nll_BT.shape == (3, GEOMETRY.codes + 1)
    loss, metrics = learned.loss(params, {"ids": jnp.asarray(ids_BT)}, jax.random.key(0), jnp.int32(0))
    assert float(loss) == pytest.approx(nll_BT.mean(), rel=1e-5)
    assert float(metrics["loss"][1]) == nll_BT.size
    assert float(metrics["code_loss"][0]) == pytest.approx(nll_BT[:, :-1].sum(), rel=1e-5)


def test_without_the_end_token_its_position_is_gone(ids_BT: np.ndarray) -> None:
    with_end, without = task(), task(end_token_loss=False)
    params = with_end.init(jax.random.key(0))
    short = without.nll(params, ids_BT)
    assert short.shape == (3, GEOMETRY.codes)
    np.testing.assert_allclose(short, with_end.nll(params, ids_BT)[:, :-1], rtol=1e-5)


def test_an_untrained_model_is_as_good_as_guessing(ids_BT: np.ndarray) -> None:
    learned = task()
    nll_BT = learned.nll(learned.init(jax.random.key(0)), ids_BT)
    assert float(nll_BT.mean()) == pytest.approx(np.log(16), rel=0.1)


def test_the_batch_spec_is_the_pipelines(ids_BT: np.ndarray) -> None:
    spec = task().batch_spec(3)["ids"]
    assert (spec.shape, spec.dtype) == (ids_BT.shape, ids_BT.dtype)


def test_at_least_one_part() -> None:
    with pytest.raises(ConfigError, match="loss_chunks=0: give 1 to hold all logits"):
        NextTokenConfig(end_token_loss=True, loss_chunks=0)


def test_parts_change_the_program_and_not_the_loss(ids_BT: np.ndarray) -> None:
    parts, whole = (
        NextToken(Llama(CONFIG, 16), GEOMETRY, NextTokenConfig(True, chunks)) for chunks in (3, 1)
    )
    params = parts.init(jax.random.key(0))
    np.testing.assert_allclose(parts.nll(params, ids_BT), whole.nll(params, ids_BT), rtol=1e-5)
    programs = [str(jax.make_jaxpr(each.nll)(params, ids_BT)) for each in (parts, whole)]
    assert ["f32[3,3,16]" in program for program in programs] == [True, False]
