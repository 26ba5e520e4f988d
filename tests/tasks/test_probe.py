import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from toto_jax.errors import ConfigError
from toto_jax.sharding.rules import partition_spec
from toto_jax.tasks.probe import ProbeTask
from toto_jax.tree import matrices, named_leaves

L, T, D, C, H = 3, 5, 12, 4, 2
KEY = jax.random.key(0)


def make_task(layers=L, tokens=T, width=D, classes=C, heads=H, dtype=jnp.float32):
    return ProbeTask(tokens, classes, heads, np.zeros((layers, width)), np.ones((layers, width)), dtype)


def random_batch(seed=0, size=6, dtype=np.float32):
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(size, L, T, D)).astype(dtype)
    return {"hidden": hidden, "labels": rng.integers(0, C, size).astype(np.int32)}


def literal_attention_probe(params, hidden_TD, heads, key_bias):
    """Section 3.5's formula with the authors' heads, one clip and layer at a time: keys and values of every
    token.
    """
    head_dim = len(params["query"])
    keys = hidden_TD @ params["key"] + key_bias
    values = hidden_TD @ params["value"] + params["value_bias"]
    joined = []
    for head in range(heads):
        part = slice(head * head_dim, (head + 1) * head_dim)
        scores = keys[:, part] @ params["query"] / np.sqrt(head_dim)
        weights = np.exp(scores) / np.exp(scores).sum()
        joined.append(weights @ values[:, part])
    return np.concatenate(joined) @ params["kernel"] + params["bias"]


def test_attention_probe_is_the_literal_formula_and_a_key_bias_would_change_nothing():
    task, batch = make_task(), random_batch()
    params = jax.tree.map(lambda x: 3 * x, task.init(KEY))  # larger weights: attention far from uniform
    logits = np.asarray(task.predict(params, batch)["attention"])
    host = jax.tree.map(lambda x: np.asarray(x, np.float64), params["attention"])
    key_bias = np.random.default_rng(1).normal(size=D)
    for layer in range(L):
        own = {name: value[layer] for name, value in host.items()}
        for clip in range(6):
            expected = literal_attention_probe(
                own, batch["hidden"][clip, layer].astype(np.float64), H, key_bias
            )
            np.testing.assert_allclose(logits[layer, clip], expected, atol=2e-5)


def test_average_probe_normalises_by_the_given_statistics():
    rng = np.random.default_rng(0)
    mean, std = rng.normal(size=(L, D)), rng.uniform(0.5, 2, (L, D))
    std[0, 0] = 0  # a feature that never changes must not divide by zero
    task, batch = ProbeTask(T, C, H, mean, std), random_batch()
    params = task.init(KEY)
    logits = np.asarray(task.predict(params, batch)["average"])
    kernel, bias = np.asarray(params["average"]["kernel"]), np.asarray(params["average"]["bias"])
    for layer in range(L):
        x = (batch["hidden"][:, layer].mean(1) - mean[layer]) / np.sqrt(std[layer] ** 2 + 1e-6)
        np.testing.assert_allclose(logits[layer], x @ kernel[layer] + bias[layer], rtol=1e-4, atol=1e-3)


def test_loss_and_metrics_by_hand():
    task, batch = make_task(), random_batch()
    params = task.init(KEY)
    loss, metrics = task.loss(params, batch, KEY, jnp.int32(0))
    total = 0.0
    for kind, logits_LBC in task.predict(params, batch).items():
        for layer, logits_BC in enumerate(np.asarray(logits_LBC, np.float64)):
            nll = np.log(np.exp(logits_BC).sum(1)) - logits_BC[np.arange(6), batch["labels"]]
            total += nll.mean()
            correct, count = metrics[f"{kind}/accuracy_layer_{layer:02}"]
            assert (correct, count) == ((logits_BC.argmax(1) == batch["labels"]).sum(), 6)
            assert metrics[f"{kind}/loss_layer_{layer:02}"][0] == pytest.approx(nll.sum(), rel=1e-5)
    assert float(loss) == pytest.approx(total, rel=1e-5)
    mean = metrics["loss"][0] / metrics["loss"][1]
    assert float(mean) == pytest.approx(total / (2 * L), rel=1e-5)


def test_every_layer_learns_by_itself():
    task, batch = make_task(), random_batch()
    params = task.init(KEY)
    gradient = jax.grad(lambda p, b: task.loss(p, b, KEY, jnp.int32(0))[0])
    before = named_leaves(gradient(params, batch))
    other = {**batch, "hidden": batch["hidden"].copy()}
    other["hidden"][:, 1] = np.random.default_rng(9).normal(size=(6, T, D))
    after = named_leaves(gradient(params, other))
    for name, grad in before.items():
        for layer in range(L):
            assert np.abs(grad[layer]).max() > 0, (name, layer)
            same = np.allclose(grad[layer], after[name][layer], rtol=1e-5, atol=1e-7)
            assert same == (layer != 1), (name, layer)


def fit(task, batch, steps):
    optimizer = optax.adam(0.02)

    @jax.jit
    def step(params, state):
        grads, metrics = jax.grad(task.loss, has_aux=True)(params, batch, KEY, jnp.int32(0))
        updates, state = optimizer.update(grads, state)
        return optax.apply_updates(params, updates), state, metrics

    params = task.init(KEY)
    state = optimizer.init(params)
    for _ in range(steps):
        params, state, _ = step(params, state)
    return params


def accuracies(task, params, batch):
    _, metrics = task.loss(params, batch, KEY, jnp.int32(0))
    return {name: float(total / count) for name, (total, count) in metrics.items()}


def test_finds_a_signal_in_the_layer_that_has_one_and_none_in_noise():
    rng = np.random.default_rng(0)

    def batch(size):
        labels = rng.integers(0, 3, size)
        hidden = rng.normal(size=(size, 2, 4, 8))
        hidden[:, 1, :, :3] += 2 * np.eye(3)[labels][:, None]
        return {"hidden": hidden.astype(np.float32), "labels": labels.astype(np.int32)}

    task = make_task(layers=2, tokens=4, width=8, classes=3, heads=2)
    found = accuracies(task, fit(task, batch(512), 60), batch(1024))
    for kind in ("attention", "average"):
        assert found[f"{kind}/accuracy_layer_00"] < 0.42
        assert found[f"{kind}/accuracy_layer_01"] > 0.9


def test_attention_finds_one_telling_token_that_an_average_drowns():
    rng = np.random.default_rng(0)

    def batch(size, tokens=24):
        labels = rng.integers(0, 3, size)
        hidden = rng.normal(size=(size, 1, tokens, 8))
        place = rng.integers(0, tokens, size)
        hidden[np.arange(size), 0, place, :3] = 4 * np.eye(3)[labels]
        hidden[:, 0, :, 3] = 0
        hidden[np.arange(size), 0, place, 3] = 4  # what makes the token stand out, whatever its class
        return {"hidden": hidden.astype(np.float32), "labels": labels.astype(np.int32)}

    train = batch(512)
    pooled = train["hidden"].mean(2)
    task = ProbeTask(24, 3, 2, pooled.mean(0), pooled.std(0))
    found = accuracies(task, fit(task, train, 150), batch(1024))
    assert found["attention/accuracy_layer_00"] > 0.95
    assert found["average/accuracy_layer_00"] < 0.75


def test_half_precision_features_are_computed_in_full():
    task = make_task(dtype=jnp.bfloat16)
    batch = random_batch()
    half = {**batch, "hidden": jnp.asarray(batch["hidden"], jnp.bfloat16)}
    exact = {**batch, "hidden": np.asarray(half["hidden"], np.float32)}
    params = task.init(KEY)
    assert task.batch_spec(6)["hidden"].dtype == jnp.bfloat16
    for kind, logits in task.predict(params, half).items():
        assert logits.dtype == jnp.float32
        np.testing.assert_allclose(logits, task.predict(params, exact)[kind], atol=1e-6)


def test_never_forms_keys_or_values_of_all_tokens():
    """The largest array of the forward pass is the features themselves: no other has a T and a D axis at
    once.
    """
    task = make_task(tokens=37)
    hidden = jax.ShapeDtypeStruct((6, L, 37, D), jnp.float32)
    params = jax.eval_shape(task.init, KEY)
    jaxpr = jax.make_jaxpr(lambda p, h: task.predict(p, {"hidden": h}))(params, hidden)
    made = [out.aval.shape for equation in jaxpr.eqns for out in equation.outvars]
    assert made
    assert not [shape for shape in made if 37 in shape and D in shape]


def test_axes_match_parameters_shard_without_collision_and_mark_what_decays():
    task = make_task()
    params, axes = named_leaves(task.init(KEY)), task.logical_axes()
    names = {f"{kind}/{name}": value for kind, inner in axes.items() for name, value in inner.items()}
    assert {name: leaf.ndim for name, leaf in params.items()} == {
        name: len(value) for name, value in names.items()
    }
    for value in names.values():
        partition_spec(value)
    decayed = {name for name, yes in named_leaves(matrices(axes)).items() if yes}
    assert decayed == {"attention/key", "attention/value", "attention/kernel", "average/kernel"}


def test_batch_spec_puts_clips_first():
    spec = make_task().batch_spec(8)
    assert {name: leaf.shape for name, leaf in spec.items()} == {"hidden": (8, L, T, D), "labels": (8,)}


def test_heads_that_do_not_divide_are_an_error():
    with pytest.raises(ConfigError, match=r"12 features.*5 heads.*1, 2, 3, 4, 6, 12$"):
        make_task(heads=5)
