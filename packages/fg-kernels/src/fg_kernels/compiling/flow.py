"""The order in which instructions can run: which are reachable, and in which loop each one stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

STRAIGHT: Final = -1
UNREACHABLE: Final = -2


class Instruction(NamedTuple):
    """One instruction of PTX or SASS.

    Attributes:
        opcode: with its dotted suffixes, "ld.global.v4.b32".
        operands: as written, the destination first.
        predicate: the register that guards it, "!" before it when negated; empty for none.
    """

    opcode: str
    operands: tuple[str, ...] = ()
    predicate: str = ""


class Listing(NamedTuple):
    """Instructions, and the index of the one that follows each label."""

    instructions: Sequence[Instruction]
    labels: Mapping[str, int]


def loops_of(successors: Sequence[Sequence[int]]) -> list[int]:
    """For each instruction the number of its innermost loop, else STRAIGHT or UNREACHABLE.

    Loops are natural loops (a branch back to an instruction that dominates it), numbered in the order of their
    headers. A jump back into code laid out earlier, such as the return from a rare case, is no loop.
    """
    reachable = _reachable(successors)
    predecessors = _predecessors(successors, reachable)
    dominators = _dominators(predecessors, reachable)
    bodies: dict[int, set[int]] = {}
    for source in reachable:
        for header in successors[source]:
            if dominators[source] >> header & 1:
                bodies[header] = bodies.get(header, set()) | _body(header, source, predecessors)
    loops = [STRAIGHT if index in dominators else UNREACHABLE for index in range(len(successors))]
    numbered = list(enumerate(sorted(bodies)))
    for number, header in sorted(numbered, key=lambda loop: -len(bodies[loop[1]])):  # inner loops last: they win
        for index in bodies[header]:
            loops[index] = number
    return loops


def _reachable(successors: Sequence[Sequence[int]]) -> list[int]:
    seen, waiting = set[int](), [0] if successors else []
    while waiting:
        index = waiting.pop()
        if index not in seen:
            seen.add(index)
            waiting.extend(successors[index])
    return sorted(seen)


def _predecessors(successors: Sequence[Sequence[int]], reachable: Sequence[int]) -> dict[int, list[int]]:
    predecessors: dict[int, list[int]] = {index: [] for index in reachable}
    for index in reachable:
        for successor in successors[index]:
            predecessors[successor].append(index)
    return predecessors


def _dominators(predecessors: Mapping[int, Sequence[int]], reachable: Sequence[int]) -> dict[int, int]:
    """For each instruction the set of those that run before it on every path, as the bits of an integer."""
    everything = (1 << (max(reachable, default=0) + 1)) - 1
    dominators = dict.fromkeys(reachable, everything)
    changed = True
    while changed:
        changed = False
        for index in reachable:
            common = everything if index else 0
            for predecessor in predecessors[index] if index else ():
                common &= dominators[predecessor]
            common |= 1 << index
            changed |= common != dominators[index]
            dominators[index] = common
    return dominators


def _body(header: int, source: int, predecessors: Mapping[int, Sequence[int]]) -> set[int]:
    body, waiting = {header}, [source]
    while waiting:
        index = waiting.pop()
        if index not in body:
            body.add(index)
            waiting.extend(predecessors[index])
    return body
