"""Reads the text of an optimized HLO module: computations, instructions, and how often each one runs.

Only what a count of collectives needs is understood; the rest is passed over.
"""

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping

from toto_jax.errors import ConfigError

_BYTES = {
    "pred": 1, "s4": 0.5, "u4": 0.5, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "s32": 4, "u32": 4, "s64": 8, "u64": 8,
    "f8e4m3fn": 1, "f8e5m2": 1, "f8e4m3": 1, "bf16": 2, "f16": 2, "f32": 4, "f64": 8, "c64": 8, "c128": 16,
}  # fmt: skip
_ARRAY = re.compile(r"\b([a-z]+\d*[a-z0-9]*)\[([\d,]*)\]")
_HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{$")
# Not any line with a bracket in front: the attributes of a Pallas kernel hold line breaks.
_END = re.compile(r"^\}(, [a-z_]+=.*)?$")
_NAME = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = ")
_CALLED = re.compile(r"\b(?:calls|to_apply|body|true_computation|false_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')


@dataclasses.dataclass(frozen=True)
class Instruction:
    """Attributes:
    name, opcode: as in the text, without the percent sign.
    type: of the result, with layouts.
    operands: names (or literals).
    rest: attributes, as text.
    """

    name: str
    opcode: str
    type: str
    operands: tuple[str, ...]
    rest: str

    def attribute(self, key: str) -> str | None:
        """Returns the computation that an attribute like `body=%name` names."""
        match = re.search(rf"\b{key}=%?([\w.\-]+)", self.rest)
        return match[1] if match else None


Computation = Mapping[str, Instruction]


@dataclasses.dataclass(frozen=True)
class Module:
    """Attributes:
    computations: name -> its instructions by name; the last one is the root.
    entry: name of the computation that a step runs.
    """

    computations: Mapping[str, Computation]
    entry: str


def size_in_bytes(type_text: str) -> int:
    """Returns the bytes of all arrays in an HLO type, a tuple's together; tiling and padding are not counted."""
    total = 0.0
    for dtype, dims in _ARRAY.findall(type_text):
        total += _BYTES.get(dtype, 0) * math.prod(int(size) for size in dims.split(",") if size)
    return round(total)


def tuple_elements(type_text: str) -> list[str]:
    """Returns the types inside a tuple type, or the type itself."""
    if not type_text.startswith("("):
        return [type_text]
    return _split(re.sub(r"/\*.*?\*/", "", type_text[1 : _closing(type_text, 0)]))


def _closing(text: str, start: int) -> int:
    depth = 0
    for index in range(start, len(text)):
        depth += text[index] in "([{"
        depth -= text[index] in ")]}"
        if depth == 0:
            return index
    raise ValueError(f"Unbalanced brackets in HLO: {text[:120]}")


def _split(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for index, letter in enumerate(text):
        depth += letter in "([{"
        depth -= letter in ")]}"
        if letter == "," and depth == 0:
            parts.append(text[start:index].strip())
            start = index + 1
    last = text[start:].strip()
    return [*parts, last] if last else parts


def _instruction(line: str) -> Instruction | None:
    match = _NAME.match(line)
    if not match:
        return None
    body = line[match.end() :]
    end = _closing(body, 0) + 1 if body.startswith("(") else body.index(" ")
    type_text, body = body[:end], body[end:].lstrip()
    opening = body.index("(")
    closing = _closing(body, opening)
    inside = re.sub(r"/\*.*?\*/", "", body[opening + 1 : closing])
    # Operands may be written with their types in front: `f32[8]{0} %x`.
    operands = tuple(part.split(" ")[-1].lstrip("%") for part in _split(inside))
    return Instruction(match[2], body[:opening], type_text, operands, body[closing + 1 :])


def parse_module(text: str) -> Module:
    """Parses the text of one module, as `compiled.as_text()` gives it.

    Raises:
      ConfigError: if there is no entry computation in it, or something is where it shouldn't be.
    """
    computations: dict[str, dict[str, Instruction]] = {}
    entry, current = None, None
    for line in text.splitlines():
        if current is None:
            header = _HEADER.match(line)
            if _NAME.match(line):
                raise ConfigError(
                    f"The compiler's text has an instruction outside of all computations: {line[:120]}"
                )
            if header and not line.startswith("HloModule"):
                current = computations.setdefault(header[2], {})
                entry = header[2] if header[1] else entry
        elif _END.match(line):
            current = None
        elif (instruction := _instruction(line)) is not None:
            current[instruction.name] = instruction
    if entry is None:
        raise ConfigError("The compiler's text has no ENTRY computation, so its collectives can't be counted")
    return Module(computations, entry)


def walk(module: Module) -> Iterator[tuple[str, int, Instruction]]:
    """Yields (region, runs, instruction) for each instruction that a step runs, fused and asynchronous ones included.

    A region is the entry or one loop's body with all that it calls; `runs` is the product of the trip counts of the
    loops around it.
    """
    yield from _walk(module, module.entry, module.entry, 1)


def _walk(module: Module, name: str, region: str, runs: int) -> Iterator[tuple[str, int, Instruction]]:
    computation = module.computations.get(name, {})
    for instruction in computation.values():
        yield region, runs, instruction
        if instruction.opcode == "while":
            body = instruction.attribute("body")
            inner = f"{region}/{instruction.name}"
            yield from _walk(module, body, inner, runs * trip_count(module, computation, instruction))
            continue
        if instruction.opcode in ("async-update", "async-done"):
            continue  # they name the computation that async-start has called
        called = _CALLED.findall(instruction.rest)
        for branches in _BRANCHES.findall(instruction.rest):
            called += [branch.strip().lstrip("%") for branch in branches.split(",")]
        for inner_name in called:
            yield from _walk(module, inner_name, region, runs)


def trip_count(module: Module, computation: Computation, loop: Instruction) -> int:
    """Returns how often a while loop's body runs.

    The compiler says so for some backends. For others it is read off the usual form: the condition compares one
    element of the loop's state with a constant, and the body adds a constant to that element. A loop of another form
    counts as one trip.
    """
    known = _TRIPS.search(loop.rest)
    if known:
        return int(known[1])
    condition = module.computations.get(loop.attribute("condition") or "", {})
    body = module.computations.get(loop.attribute("body") or "", {})
    compare = next(
        (i for i in condition.values() if i.opcode == "compare" and "direction=LT" in i.rest), None
    )
    if compare is None or not body:
        return 1
    index = _element(condition, compare.operands[0])
    bound = _constant(condition, compare.operands[1])
    if index is None or bound is None:
        return 1
    start = 0
    state = computation.get(loop.operands[0])
    if state is not None and state.opcode == "tuple":
        start = _constant(computation, state.operands[index]) or 0
    step = 1
    root = list(body.values())[-1]
    if root.opcode == "tuple":
        add = _source(body, root.operands[index])
        if add is not None and add.opcode == "add":
            steps = [value for name in add.operands if (value := _constant(body, name)) is not None]
            step = steps[0] if steps else 1
    return max(-(-(bound - start) // max(step, 1)), 0)


def _source(computation: Computation, name: str) -> Instruction | None:
    instruction = computation.get(name)
    while instruction is not None and instruction.opcode in ("copy", "bitcast", "convert"):
        instruction = computation.get(instruction.operands[0])
    return instruction


def _element(computation: Computation, name: str) -> int | None:
    source = _source(computation, name)
    if source is None or source.opcode != "get-tuple-element":
        return None
    match = re.search(r"index=(\d+)", source.rest)
    return int(match[1]) if match else None


def _constant(computation: Computation, name: str) -> int | None:
    source = _source(computation, name)
    if source is None or source.opcode != "constant":
        return None
    return int(source.operands[0]) if source.operands and re.fullmatch(r"-?\d+", source.operands[0]) else None
