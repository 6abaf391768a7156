"""What every register of a kernel may hold, found by going through its PTX until nothing new turns up.

Order is ignored: a register that several instructions write holds any of their results.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fg_kernels.compiling.flow import Instruction
from fg_kernels.compiling.lanes import UNKNOWN, Lanes, combine, constant, join, same, unknown_but_equal
from fg_kernels.compiling.masks import OPEN, Mask, both, compare, either, join_masks, negation, open_mask

_NAME = re.compile(r"%[a-z]+\d+")
_INTEGER = re.compile(r"-?(?:0x[0-9A-Fa-f]+|\d+)U?")
_ADDRESS = re.compile(r"\[\s*(%?[\w$]+)\s*(?:\+\s*(-?\w+))?\s*\]")
_FLOATING = re.compile(r"\.(f16|f32|f64|bf16|f16x2|bf16x2)\b")
_UNIFORM = ("%ctaid", "%nctaid", "%ntid", "%clusterid", "%nclusterid", "%cluster_ctaid")
_WITHOUT_RESULT = frozenset(
    {"st", "bra", "ret", "bar", "barrier", "red", "exit", "trap", "fence", "membar", "prefetch"}
)


@dataclass(slots=True)
class Registers:
    """The registers of a kernel with `threads` threads in a program."""

    threads: int
    values: dict[str, Lanes] = field(default_factory=dict)
    predicates: dict[str, Mask] = field(default_factory=dict)

    def follow(self, instructions: Sequence[Instruction]) -> None:
        """Go through all instructions until no register may hold anything new."""
        while sum(self._step(instruction) for instruction in instructions):
            pass

    def active(self, instruction: Instruction) -> Mask:
        """The threads that carry out an instruction; one whose predicate is open counts, as in a full tile."""
        if not instruction.predicate:
            return np.ones(self.threads, dtype=np.int8)
        mask = self.predicates.get(instruction.predicate.lstrip("!"), open_mask(self.threads))
        return np.abs(negation(mask) if instruction.predicate.startswith("!") else mask)

    def address(self, operand: str) -> Lanes:
        """What stands between brackets."""
        found = _ADDRESS.fullmatch(operand)
        if not found:
            return UNKNOWN
        return combine("add", (self.value(found[1]) or UNKNOWN, constant(int(found[2] or "0", 0), self.threads)))

    def value(self, operand: str) -> Lanes | None:
        """A register or a number; None for a register that nothing has been written to yet."""
        if _INTEGER.fullmatch(operand):
            return constant(int(operand.rstrip("U"), 0), self.threads)
        if operand == "%tid.x":
            return Lanes(np.arange(self.threads, dtype=np.int64))
        if operand == "%laneid":
            return Lanes(np.arange(self.threads, dtype=np.int64) % 32)
        if operand.startswith(_UNIFORM) or not operand.startswith(("%", "{", "[")):
            return unknown_but_equal(self.threads)
        return self.values.get(operand) if _NAME.fullmatch(operand) else UNKNOWN

    def _step(self, instruction: Instruction) -> bool:
        root = instruction.opcode.split(".")[0]
        if root in _WITHOUT_RESULT or not instruction.operands:
            return False
        destination, *sources = instruction.operands
        if destination.startswith("%p"):
            return self._set_predicate(destination, self._truth(instruction.opcode.split("."), sources))
        result = self._result(instruction.opcode, sources)
        return result is not None and sum(self._set(name, result) for name in _NAME.findall(destination)) > 0

    def _set(self, name: str, result: Lanes) -> bool:
        before = self.values.get(name)
        after = result if before is None else join(before, result)
        self.values[name] = after
        return before is None or not same(before, after)

    def _set_predicate(self, name: str, result: Mask | None) -> bool:
        if result is None:
            return False
        before = self.predicates.get(name)
        after = result if before is None else join_masks(before, result)
        self.predicates[name] = after
        return before is None or bool((before != after).any())

    def _result(self, opcode: str, sources: list[str]) -> Lanes | None:
        root = opcode.split(".")[0]
        if root == "ld":
            return self._loaded(opcode, sources[0])
        if root == "selp":
            return self._selected(sources)
        if any(source.startswith("{") for source in sources):
            return self._equal_or_unknown([name for source in sources for name in _NAME.findall(source)])
        if root in ("shfl", "vote", "activemask", "elect", "atom", "match"):
            return UNKNOWN
        values = [self.value(source) for source in sources if not source.startswith("%p")]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            return None
        if _FLOATING.search(opcode) or opcode.startswith("mul.hi"):
            return unknown_but_equal(self.threads) if all(value.uniform for value in known) else UNKNOWN
        return combine(root, known)

    def _loaded(self, opcode: str, address: str) -> Lanes:
        """What is read from one address is the same in all threads."""
        if ".param" in opcode or (".shared" not in opcode and self.address(address).uniform):
            return unknown_but_equal(self.threads)
        return UNKNOWN

    def _selected(self, sources: list[str]) -> Lanes | None:
        first, second, mask = self.value(sources[0]), self.value(sources[1]), self.predicates.get(sources[2])
        if first is None or second is None or mask is None:
            return None
        if first.offsets is None or second.offsets is None or (mask == OPEN).any() or first.base or second.base:
            return join(first, second)
        return Lanes(np.where(mask == 1, first.offsets, second.offsets))

    def _equal_or_unknown(self, names: list[str]) -> Lanes | None:
        values = [self.values.get(name) for name in names]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            return None
        return unknown_but_equal(self.threads) if all(value.uniform for value in known) else UNKNOWN

    def _truth(self, opcode: list[str], sources: list[str]) -> Mask | None:
        if opcode[0] == "setp" and len(sources) == 2:
            one, other = self.value(sources[0]), self.value(sources[1])
            if one is None or other is None:
                return None
            comparison = "" if _FLOATING.search("." + opcode[-1]) else opcode[1]
            return compare(comparison, one, other, self.threads)
        if opcode[0] not in ("mov", "and", "or", "not"):
            return open_mask(self.threads)
        masks = [self._mask(source) for source in sources]
        known = [mask for mask in masks if mask is not None]
        return _logic(opcode[0], known) if len(known) == len(masks) else None

    def _mask(self, operand: str) -> Mask | None:
        if operand.startswith("%p"):
            return self.predicates.get(operand)
        return np.full(self.threads, int(operand, 0) != 0, dtype=np.int8)


def _logic(operation: str, masks: list[Mask]) -> Mask:
    if operation == "not":
        return negation(masks[0])
    if operation == "mov":
        return masks[0]
    return both(*masks) if operation == "and" else either(*masks)
