"""Bytes of global memory that a program reads and writes, counted from the loads and stores of its compiled code.

Each instruction counts as often as the loop it stands in runs, with the different addresses that the threads of the
program give it: threads that ask for the same bytes are served once, threads that a predicate switches off are not
counted. Predicates that depend on sizes are taken as true, so the figures are those of full tiles, and both branches
of a condition are counted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from fg_kernels.compiling.flow import STRAIGHT, UNREACHABLE, Instruction, loops_of
from fg_kernels.compiling.ptx import parse_ptx, successors_in_ptx
from fg_kernels.compiling.registers import Registers
from fg_kernels.errors import CompiledCodeError

_WIDTH = re.compile(r"\.[busfe]?(8|16|32|64|128)\b")
_NARROW_BYTES: Final = 2


class Access(NamedTuple):
    """One instruction that reads or writes global memory, run once by all threads of a program."""

    opcode: str
    loop: int
    read: int
    """Bytes."""
    written: int
    narrow: int
    """Bytes that threads move one by one or two by two, each thread at an address of its own."""


class Traffic(NamedTuple):
    """Bytes that one program moves in all."""

    read: int
    written: int
    narrow: int


def traffic_of(ptx: str, threads: int, trips: Sequence[int]) -> Traffic:
    """Count the bytes of one program.

    Raises:
        CompiledCodeError: the code has another number of loops than `trips`, or reads memory in a way that cannot be
            counted.
    """
    accesses, loops = accesses_of(ptx, threads)
    if loops != len(trips):
        raise CompiledCodeError(f"the compiled code has {loops} loops, but the case gives trips={tuple(trips)}")
    times = [(1 if access.loop == STRAIGHT else trips[access.loop], access) for access in accesses]
    return Traffic(
        read=sum(count * access.read for count, access in times),
        written=sum(count * access.written for count, access in times),
        narrow=sum(count * access.narrow for count, access in times),
    )


def accesses_of(ptx: str, threads: int) -> tuple[list[Access], int]:
    """Every instruction of a kernel that touches global memory, and how many loops there are."""
    listing = parse_ptx(ptx)
    loops = loops_of(successors_in_ptx(listing))
    registers = Registers(threads)
    registers.follow(listing.instructions)
    accesses = [
        _access(registers, instruction, loop)
        for instruction, loop in zip(listing.instructions, loops, strict=True)
        if loop != UNREACHABLE and _touches_memory(instruction)
    ]
    return accesses, max(loops, default=STRAIGHT) + 1


def _touches_memory(instruction: Instruction) -> bool:
    root, *suffixes = instruction.opcode.split(".")
    if root in ("ld", "st") and not {"global", "shared", "param", "const", "local"} & {
        suffix.split("::")[0] for suffix in suffixes
    }:
        raise CompiledCodeError(f"{instruction.opcode}: a generic address, its memory is not known")
    if root == "cp" and "bulk" in suffixes:
        raise CompiledCodeError(f"{instruction.opcode}: bytes of bulk copies cannot be counted")
    return root in ("ld", "st", "atom", "red", "cp") and "global" in suffixes


def _access(registers: Registers, instruction: Instruction, loop: int) -> Access:
    root = instruction.opcode.split(".")[0]
    place = next(operand for operand in reversed(instruction.operands) if operand.startswith("["))
    width = _width(instruction)
    active = registers.active(instruction) == 1
    offsets = registers.address(place).offsets
    addresses = int(active.sum()) if offsets is None else len(np.unique(offsets[active]))
    size = addresses * width
    narrow = size if width <= _NARROW_BYTES and addresses > 1 else 0
    read, written = (0 if root in ("st", "red") else size), (0 if root in ("ld", "cp") else size)
    return Access(instruction.opcode, loop, read, written, narrow)


def _width(instruction: Instruction) -> int:
    if instruction.opcode.startswith("cp.async"):
        return int(instruction.operands[2], 0)
    vector = re.search(r"\.v(\d+)\b", instruction.opcode)
    bits = _WIDTH.findall(instruction.opcode)[-1]
    return int(bits) // 8 * (int(vector[1]) if vector else 1)
