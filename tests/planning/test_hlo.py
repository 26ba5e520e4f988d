"""The HLO reader on snippets written by hand, after what the TPU, GPU and CPU compilers print."""

import pytest

from toto_jax.errors import ConfigError
from toto_jax.planning.hlo import parse_module, size_in_bytes, tuple_elements, walk

LOOPS = """HloModule step, is_scheduled=true, entry_computation_layout={(f32[8]{0})->f32[8]{0}}

%inner_body (p: (u32[], f32[8])) -> (u32[], f32[8]) {
  %two = u32[]{:T(128)} constant(2)
  %p = (u32[]{:T(128)}, f32[8]{0:T(256)}) parameter(0)
  %i = u32[]{:T(128)} get-tuple-element(%p), index=0
  %x = f32[8]{0} get-tuple-element(%p), index=1
  %next = u32[] add(%i, %two), metadata={op_name="a (strange) name"}
  %negated = f32[8]{0} negate(%x)
  ROOT %out = (u32[], f32[8]{0}) tuple(%next, %negated)
}

%inner_condition (q: (u32[], f32[8])) -> pred[] {
  %q = (u32[], f32[8]{0}) parameter(0)
  %j = u32[] get-tuple-element(%q), index=0
  %eight = u32[] constant(8)
  ROOT %less = pred[] compare(%j, %eight), direction=LT
}

%outer_body (r: (s32[], f32[8])) -> (s32[], f32[8]) {
  %r = (s32[], f32[8]{0}) parameter(0)
  %k = s32[] get-tuple-element(%r), index=0
  %one = s32[] constant(1)
  %more = s32[] add(%k, %one)
  %y = f32[8]{0} get-tuple-element(%r), index=1
  %four = u32[] constant(4)
  %copied = u32[] copy(%four)
  %state = (u32[], f32[8]{0}) tuple(%copied, /*index=1*/%y)
  %loop = (u32[], f32[8]{0}) while(%state), condition=%inner_condition, body=%inner_body
  %z = f32[8]{0} get-tuple-element(%loop), index=1
  ROOT %result = (s32[], f32[8]{0}) tuple(%more, %z)
}

%outer_condition (s: (s32[], f32[8])) -> pred[] {
  %s = (s32[], f32[8]{0}) parameter(0)
  ROOT %opaque = pred[] custom-call(%s), custom_call_target="who knows"
}

ENTRY %main (a: f32[8]) -> f32[8] {
  %a = f32[8]{0} parameter(0)
  %zero = s32[] constant(0)
  %first = (s32[], f32[8]{0}) tuple(%zero, %a)
  %outer = (s32[], f32[8]{0}) while(%first), condition=%outer_condition, body=%outer_body, backend_config={"known_trip_count":{"n":"5"},"other":{}}
  ROOT %last = f32[8]{0} get-tuple-element(%outer), index=1
}
"""  # noqa: E501


def test_line_breaks_inside_of_attributes_end_no_computation() -> None:
    """What a Pallas kernel says of itself on a TPU."""
    said = '{"metadata":"{\\"block\\": 384\n}"}, metadata={}\n}}, x=1\n'
    kernel = f"  %kernel = f32[8]{{0}} custom-call(%x), backend_config={said}"
    place = "  %negated = f32[8]{0} negate(%x)\n"
    assert LOOPS.count(place) == 1
    runs = {one.name: runs for _, runs, one in walk(parse_module(LOOPS.replace(place, kernel + place)))}
    assert runs["kernel"] == runs["negated"] == 5 * 2


def test_an_instruction_outside_of_all_computations_is_an_error() -> None:
    broken = LOOPS.replace("  %negated", "}\n  %negated")
    with pytest.raises(ConfigError, match="outside of all computations.*negated"):
        parse_module(broken)


def test_trip_counts_multiply() -> None:
    """The outer loop says 5 trips; the inner one goes from 4 to 8 by 2."""
    runs = {instruction.name: runs for _, runs, instruction in walk(parse_module(LOOPS))}
    assert runs["negated"] == 5 * 2
    assert runs["copied"] == 5
    assert runs["outer"] == 1


def test_a_loop_of_another_form_counts_once() -> None:
    text = LOOPS.replace('backend_config={"known_trip_count":{"n":"5"},"other":{}}', "backend_config={}")
    runs = {instruction.name: runs for _, runs, instruction in walk(parse_module(text))}
    assert (runs["copied"], runs["negated"]) == (1, 2)


def test_fused_and_asynchronous_computations_are_walked_once() -> None:
    text = """HloModule m

%wrapped (a: f32[4]) -> f32[4] {
  %a = f32[4]{0} parameter(0)
  ROOT %inside = f32[4]{0} negate(%a)
}

ENTRY main (b: f32[4]) -> f32[4] {
  b = f32[4]{0} parameter(0)
  started = ((f32[4]{0}), f32[4]{0}, u32[]) async-start(b), calls=%wrapped
  going = ((f32[4]{0}), f32[4]{0}, u32[]) async-update(started), calls=%wrapped
  done = f32[4]{0} async-done(going), calls=%wrapped
  ROOT fused = f32[4]{0} fusion(f32[4]{0} %done), kind=kLoop, calls=%wrapped
}
"""
    module = parse_module(text)
    names = [instruction.name for _, _, instruction in walk(module)]
    assert names.count("inside") == 2, "once for the asynchronous call and once for the fusion"
    assert module.computations["main"]["fused"].operands == ("done",)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("f32[2,3]{1,0:T(8,128)}", 24),
        ("bf16[]", 2),
        ("(bf16[16,128]{1,0:T(8,128)(2,1)S(1)}, s32[2], /*index=2*/pred[8])", 4096 + 8 + 8),
        ("s4[3]", 2),
        ("token[]", 0),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert size_in_bytes(text) == size


def test_elements_of_a_tuple() -> None:
    text = "((f32[2]{0}, f32[3]{0}), bf16[4,4]{1,0:T(8,128)(2,1)}, /*index=2*/u32[]{:S(2)})"
    assert tuple_elements(text) == ["(f32[2]{0}, f32[3]{0})", "bf16[4,4]{1,0:T(8,128)(2,1)}", "u32[]{:S(2)}"]
    assert tuple_elements("f32[2]") == ["f32[2]"]


def test_text_without_an_entry_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no ENTRY computation"):
        parse_module("HloModule nothing\n")
