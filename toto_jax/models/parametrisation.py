"""How parameters scale with a model's size: the standard parametrisation, or muP (2203.03466, Table 8).

Under muP, hyper-parameters that were tuned on a small base model serve all wider ones; with CompleteP's rules
(2505.01618, Table 1) all deeper ones too. A parameter's logical axes say what kind it is, and a table gives each kind's
factors. A decoder of either parametrisation runs the same code on `effective` parameters.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax

from toto_jax.errors import ConfigError, nearest
from toto_jax.text_table import text_table
from toto_jax.tree import Axes, Params, is_axes, is_vector, map_with_axes, named_leaves

# Logical axes that grow with the width. All others stay: ids, values of a patch, values of a recurrent state.
WIDTH = frozenset({"embed", "heads", "kv_heads", "head_dim", "mlp"})


@dataclasses.dataclass(frozen=True)
class Scale:
    """Factors of one parameter, all 1 in the standard parametrisation.

    Attributes:
      kind: "input" (from what stays to the residual stream), "hidden" (between widths), "query" and "residual"
        (hidden, and makes queries, or adds to the residual stream), "output" (a head), "narrow" (from a width to what
        stays, within a block), "vector" (gains, biases, and all else that no sum over a width goes through).
      init: of the initial values.
      learning_rate: of the learning rate.
      weight_decay: of the weight decay, which counts times the learning rate.
      forward: of the values where they are used.
      epsilon: of Adam's epsilon.
    """

    kind: str
    init: float = 1.0
    learning_rate: float = 1.0
    weight_decay: float = 1.0
    forward: float = 1.0
    epsilon: float = 1.0


@dataclasses.dataclass(frozen=True)
class MupConfig:
    """Attributes:
    enabled: whether parameters scale by muP; otherwise nothing else in here counts.
    base: sizes of the base model, where muP and the standard parametrisation agree; 0 for the model's own.
    input_multiplier: of embeddings, to be tuned on the base.
    output_multiplier: of logits, to be tuned on the base.
    depth_alpha: branches are divided by (layers / base layers) ** alpha: 1 transfers over depth (CompleteP).
    weight_decay_exponent: of the width's ratio in the decay of hidden matrices: 1 leaves rate times decay as it is.
    scale_epsilon: whether Adam's epsilon shrinks as gradients do.
    zero_query, zero_head: whether these begin with zeros, whose start depends on no width.
    """

    enabled: bool
    base: Mapping[str, int]
    input_multiplier: float
    output_multiplier: float
    depth_alpha: float
    weight_decay_exponent: float
    scale_epsilon: bool
    zero_query: bool
    zero_head: bool


@dataclasses.dataclass(frozen=True)
class Mup:
    """muP with its base model; hashable, as a decoder is.

    Attributes:
      base: a decoder's config; see `base_config`.
      others: as of `MupConfig`.
    """

    base: Any
    input_multiplier: float = 1.0
    output_multiplier: float = 1.0
    depth_alpha: float = 1.0
    weight_decay_exponent: float = 1.0
    scale_epsilon: bool = True
    zero_query: bool = True
    zero_head: bool = True


def make_mup(config: MupConfig, model: Any) -> Mup | None:
    """Returns muP for a decoder's config, or None if it is off.

    Raises:
      ConfigError: if the base has a size that the model hasn't, one larger than the model's, or the head is tied.
    """
    if not config.enabled:
        return None
    for key, size in config.base.items():
        if size and key not in model.sizes:
            raise ConfigError(f"config.mup.base has no use for {key!r}; {nearest(key, model.sizes)}")
        if size > getattr(model, key, size):
            raise ConfigError(
                f"config.mup.base.{key}={size} is larger than config.model.{key}={getattr(model, key)}: the base is "
                "the smallest model of a family, on which hyper-parameters are tuned for all of it. Give the model at "
                f"least {size}, or the base at most {getattr(model, key)} (0 is the model's own size)"
            )
    if model.tied_head:
        raise ConfigError(
            "config.model.tied_head=True: under muP an embedding and a head scale differently, so they can't be one "
            "matrix; give False"
        )
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(Mup)}
    # Where queries are normalised, zeros would become unit vectors in the first step.
    values["zero_query"] &= not getattr(model, "qk_norm", False)
    base = dataclasses.replace(model, **{key: size for key, size in config.base.items() if size})
    return Mup(**{**values, "base": base})


def kind_of(axes: Axes) -> str:
    """Returns the kind of a parameter with these logical axes; see `Scale`."""
    if is_vector(axes):
        return "vector"
    inputs, outputs = _inputs_and_outputs(axes)
    wide_in, wide_out = not WIDTH.isdisjoint(inputs), not WIDTH.isdisjoint(outputs)
    if not wide_in:
        return "input" if outputs == ("embed",) else "vector"
    if not wide_out:
        return "narrow" if "state" in outputs else "output"
    if outputs == ("embed",):
        return "residual"
    return "query" if "heads" in outputs else "hidden"


def standard(axes: Any) -> Any:
    """Returns a tree of `Scale` whose factors are all 1."""
    return map_with_axes(lambda names: Scale(kind_of(names)), axes)


def scales(axes: Any, shapes: Any, base_shapes: Any, mup: Mup) -> Any:
    """Returns a tree of `Scale` by muP.

    Args:
      axes: tree of logical axes.
      shapes: tree of (abstract) parameters.
      base_shapes: the same of the base model.
      mup: the settings.
    """
    ratios = {}
    trees = (named_leaves(axes, is_leaf=is_axes), named_leaves(shapes), named_leaves(base_shapes))
    for name, names in trees[0].items():
        for axis, size, base in zip(names, trees[1][name].shape, trees[2][name].shape, strict=True):
            ratios[axis] = size / base
    return map_with_axes(lambda names: _scale(names, ratios, mup), axes)


def _scale(axes: Axes, ratios: Mapping[str | None, float], mup: Mup) -> Scale:
    kind, width = kind_of(axes), ratios["embed"]
    depth = ratios["layers"] if "layers" in axes else 1.0
    branch = depth**-mup.depth_alpha
    rate = depth ** (mup.depth_alpha - 1)
    epsilon = branch / width if mup.scale_epsilon else 1.0
    heads = ratios.get("head_dim", 1.0) ** -0.5
    if kind == "vector":
        is_query = "query_norm" in axes or {"heads", "bias"} <= set(axes)
        forward = heads if is_query else branch if "branch_bias" in axes else 1.0
        return Scale(kind, learning_rate=rate, forward=forward, epsilon=epsilon)
    if kind == "narrow":
        fan_in = _growth(axes, ratios)
        return Scale(kind, learning_rate=rate, forward=1 / fan_in, epsilon=epsilon)
    if kind == "input":
        return Scale(kind, learning_rate=rate, forward=mup.input_multiplier, epsilon=epsilon)
    if kind == "output":
        return Scale(
            kind, init=float(not mup.zero_head), forward=mup.output_multiplier / width, epsilon=epsilon
        )
    fan_in = _growth(axes, ratios)
    forward = {"residual": branch, "query": heads}.get(kind, 1.0)
    return Scale(
        kind,
        init=0.0 if kind == "query" and mup.zero_query else fan_in**-0.5,
        learning_rate=rate / fan_in,
        weight_decay=fan_in**mup.weight_decay_exponent,
        forward=forward,
        epsilon=epsilon,
    )


def _growth(axes: Axes, ratios: Mapping[str | None, float]) -> float:
    """Returns by how much a product with a parameter sums over more than in the base."""
    return math.prod(ratios[axis] for axis in _inputs_and_outputs(axes)[0] if axis in WIDTH)


def _inputs_and_outputs(axes: Axes) -> tuple[Axes, Axes]:
    """Returns the axes that a product with a parameter sums over, and those that it makes.

    Its last axis is made where that is the residual stream, and all but its first otherwise.
    """
    own = tuple(name for name in axes if name != "layers")
    split = -1 if own[-1] == "embed" else 1
    return own[:split], own[split:]


def initial(params: Params, scales: Any) -> Params:
    """Returns fresh parameters of the standard parametrisation as those of `scales`."""
    return _times(params, scales, "init")


def effective(params: Params, scales: Any) -> Params:
    """Returns the values that a decoder computes with: an ordinary one's, which other software can run."""
    return _times(params, scales, "forward")


def _times(params: Params, scales: Any, name: str) -> Params:
    def one(value: jax.Array, scale: Scale) -> jax.Array:
        factor = getattr(scale, name)
        return value if factor == 1 else value * factor

    return jax.tree.map(one, params, scales)


def table(scales: Any) -> list[str]:
    """Returns lines for people: each parameter's kind and factors."""
    rows = [("parameter", *(field.name.replace("_", " ") for field in dataclasses.fields(Scale)))]
    for name, scale in named_leaves(scales).items():
        values = dataclasses.astuple(scale)
        rows.append((name, *(f"{value:.4g}" if isinstance(value, float) else value for value in values)))
    return text_table(rows[0], rows[1:]).split("\n")
