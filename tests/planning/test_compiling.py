"""The step of a small model, compiled: by the CPU's compiler always, by the TPU's where libtpu is installed."""

import collections
import pathlib

import jax
import pytest

from tests.planning.tiny import PARAMS, tiny_config
from toto_jax.experiment import Experiment, build
from toto_jax.planning.compiling import compile_step, needed_memory
from toto_jax.planning.memory import largest_unsharded
from toto_jax.planning.topologies import parse_topology, planned_devices

LAYERS, WIDTH = 3, 256
# Bytes that each device of a v5e:2x4 sends in a step of the small model, by libtpu 0.0.42.
RECORD = {"all-gather": 9_175_040, "all-reduce": 17_445_183}


def test_the_step_is_the_trainers_on_its_mesh() -> None:
    experiment = build(tiny_config(mesh__fsdp=8), pathlib.Path("."), jax.devices())
    compiled = compile_step(experiment)
    state = 3 * 4 * PARAMS / 8  # parameters and two moments
    assert state * 0.5 < compiled.stats.argument_size_in_bytes < state * 2
    assert compiled.stats.alias_size_in_bytes > state * 0.5, "the state is donated"
    assert {one.axes for one in compiled.collectives} == {("fsdp",)}
    assert compiled.needed == ""


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, the total memory required for "
            "HLO temporaries (23.91G) exceeds available HBM (15.75G). HLO module: jit_train_step.\nSee more",
            "23.91G needed, 15.75G there",
        ),
        ("RESOURCE_EXHAUSTED: Ran out of memory. Used 20.1G of 15.7G hbm. Exceeded by", "20.1G needed, 15.7G there"),
        ("RESOURCE_EXHAUSTED: something new\nand more", "RESOURCE_EXHAUSTED: something new"),
    ],
)  # fmt: skip
def test_the_compilers_words_on_memory(message: str, words: str) -> None:
    assert needed_memory(message) == words


def tpu_experiment(**changes: object) -> Experiment:
    pytest.importorskip("libtpu", reason="the TPU compiler comes with the extra `tpu`")
    sizes = dict(
        model__layers=LAYERS, model__d_model=WIDTH, model__heads=2, model__kv_heads=2, model__head_dim=128,
        model__d_ff=512, model__remat="full", clips__size=64, clips__frames=4, tokenizer__codebook_size=1020,
    )  # fmt: skip
    devices = planned_devices(parse_topology("v5e:2x4"))
    return build(tiny_config(**{**sizes, **changes}), pathlib.Path("."), devices)


def test_the_tpu_programs_collectives_and_whole_arrays_do_not_grow() -> None:
    """Bytes sent by kind, against those on record; after a change on purpose, put the new ones there."""
    experiment = tpu_experiment()
    compiled = compile_step(experiment)
    sent: dict[str, float] = collections.Counter()
    for one in compiled.collectives:
        assert one.axes == ("fsdp",)
        sent[one.kind] += round(one.total_wire)
    assert set(sent) <= set(RECORD), dict(sent)
    for kind, size in sent.items():
        assert size <= 1.02 * RECORD[kind], f"{kind} sends more than on record: {dict(sent)}"
    # The gains of 3 x 2 + 1 norms, with two moments each; counters of one number besides.
    whole = [array for array in largest_unsharded(experiment, rows=1000) if array.shape]
    assert sum(array.size for array in whole) == 3 * 4 * (2 * LAYERS + 1) * WIDTH


def test_a_tpu_program_that_does_not_fit_says_so() -> None:
    compiled = compile_step(tpu_experiment(train__batch_size=2**19, model__layers=1))
    assert compiled.stats is None
    assert "needed" in compiled.needed
    assert compiled.collectives == ()
