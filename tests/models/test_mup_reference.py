"""Training under muP beside Microsoft's package `mup` on a LlamaForCausalLM: the same parameters after some steps."""

import dataclasses
from typing import Any

import jax
import numpy as np
import optax
import pytest

from toto_jax.interop.hf_llama import to_hugging_face
from toto_jax.models.llama import Llama, LlamaConfig
from toto_jax.models.parametrisation import Mup
from toto_jax.training.optimizer import OptimizerConfig, make_optimizer

pytestmark = pytest.mark.reference
torch = pytest.importorskip("torch", reason="the reference is written in PyTorch")
transformers = pytest.importorskip("transformers", reason="the reference trains transformers' LLaMA")
mup = pytest.importorskip("mup", reason="the reference is the package mup")

BASE = LlamaConfig(
    layers=2, d_model=64, heads=4, kv_heads=4, head_dim=16, d_ff=128, rope_base=10_000.0,
    rope_grid=(), qk_norm=False, norm_eps=1e-6,
    init_std=0.02, tied_head=False, vocabulary_multiple=8, dtype="float32", attention="chunked",
    remat="none", scan_unroll=1,
)  # fmt: skip
VOCABULARY, STEPS, RATE, DECAY, OUTPUT = 96, 4, 0.01, 2.0, 3.0
IDS = np.random.default_rng(0).integers(0, VOCABULARY, (STEPS, 2, 17))


def at_width(width: int, more_heads: bool) -> LlamaConfig:
    grown = {"heads": width // 16, "kv_heads": width // 16} if more_heads else {"head_dim": width // 4}
    return dataclasses.replace(BASE, d_model=width, d_ff=2 * width, **grown)


def theirs(config: LlamaConfig) -> Any:
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=VOCABULARY, hidden_size=config.d_model, intermediate_size=config.d_ff,
            num_hidden_layers=config.layers, num_attention_heads=config.heads,
            num_key_value_heads=config.kv_heads, head_dim=config.head_dim, rms_norm_eps=config.norm_eps,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_base},
            tie_word_embeddings=False, attn_implementation="eager",
        )
    )  # fmt: skip
    model.lm_head = mup.MuReadout(config.d_model, VOCABULARY, bias=False, output_mult=OUTPUT)
    for layer in model.model.layers:
        layer.self_attn.scaling = BASE.head_dim**0.5 / config.head_dim  # 1/d, equal to 1/sqrt(d) at the base
    return model


def trained_by_the_package(config: LlamaConfig, tensors: dict[str, np.ndarray], delta: LlamaConfig) -> Any:
    torch.manual_seed(0)
    model = theirs(config)
    mup.set_base_shapes(model, theirs(BASE), delta=theirs(delta))
    model.load_state_dict({name: torch.tensor(value.copy()) for name, value in tensors.items()})
    decayed = [weight for weight in model.parameters() if weight.ndim > 1]
    others = [weight for weight in model.parameters() if weight.ndim == 1]
    groups = [{"params": decayed, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = mup.MuAdamW(groups, lr=RATE, betas=(0.9, 0.95), eps=1e-8, weight_decay=DECAY)
    for ids in torch.tensor(IDS):
        logits = model(ids[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, VOCABULARY), ids[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {name: value.detach().numpy() for name, value in model.state_dict().items()}, float(loss.detach())


@pytest.mark.parametrize("more_heads", [False, True])
@pytest.mark.parametrize("width", [64, 128, 512])
def test_steps_of_training_are_those_of_the_package(width: int, more_heads: bool) -> None:
    config = at_width(width, more_heads)
    options = {"output_multiplier": OUTPUT, "scale_epsilon": False, "zero_query": False, "zero_head": False}
    decoder = Llama(config, VOCABULARY, Mup(BASE, **options))
    settings = OptimizerConfig(RATE, RATE, 0, 0, 0.9, 0.95, 1e-8, DECAY, 0.0, 0.0)
    optimizer = make_optimizer(settings, STEPS, decoder.logical_axes(), decoder.scales)
    params = jax.jit(decoder.init)(jax.random.key(0))
    before = to_hugging_face(config, params, 16)[1]

    @jax.jit
    def step(params: Any, state: Any, ids: jax.Array) -> Any:
        def loss(params: Any) -> jax.Array:
            logits = decoder.apply(params, ids[:, :-1]).logits_BTV
            return optax.softmax_cross_entropy_with_integer_labels(logits, ids[:, 1:]).mean()

        value, grads = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state, value

    state = optimizer.init(params)
    for ids in IDS:
        params, state, loss = step(params, state, ids)
    after = to_hugging_face(config, params, 16)[1]
    want, want_loss = trained_by_the_package(config, before, at_width(2 * 64, more_heads))
    assert float(loss) == pytest.approx(want_loss, rel=1e-4)
    for name, value in after.items():
        moved = np.abs(want[name] - before[name]).max()
        # Adam divides by the gradient's size: where that is nearly 0, rounding decides the sign of a step.
        assert np.quantile(np.abs(value - want[name]), 0.999) < 0.01 * moved, name
        assert moved > 0


@pytest.mark.parametrize("more_heads", [False, True])
@pytest.mark.parametrize("width", [64, 128, 256, 512])
def test_initial_deviations_are_those_of_the_package(width: int, more_heads: bool) -> None:
    config = at_width(width, more_heads)
    model = theirs(config)
    mup.set_base_shapes(model, theirs(BASE), delta=theirs(at_width(128, more_heads)))
    torch.manual_seed(0)
    for weight in model.parameters():
        if weight.ndim > 1:
            mup.init.normal_(weight, std=config.init_std)
    decoder = Llama(config, VOCABULARY, Mup(BASE, zero_query=False, zero_head=False))
    ours = to_hugging_face(config, jax.jit(decoder.init)(jax.random.key(0)), 16)[1]
    for name, weight in model.state_dict().items():
        assert ours[name].std() == pytest.approx(float(weight.std(correction=0)), rel=0.05), name
