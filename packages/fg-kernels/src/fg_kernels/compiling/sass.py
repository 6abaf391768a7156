"""SASS as a list of instructions: what the processor runs, as nvdisasm prints it."""

from __future__ import annotations

import re

from fg_kernels.compiling.flow import Instruction, Listing

_LINE = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:\{\s*)?(?:@(!?U?P\w+)\s+)?([A-Z][\w.]*)\s*(.*?)\s*;")
_LABEL = re.compile(r"^(\.L_x_\d+|[\w$]+):\s*$")
_TARGET = re.compile(r"`\(([^)]+)\)")
_ENDS = ("EXIT", "RET", "KILL", "BRX", "JMX")


def parse_sass(text: str) -> Listing:
    """Read what `nvdisasm -c` prints for a file of one kernel."""
    instructions: list[Instruction] = []
    labels: dict[str, int] = {}
    for line in text.splitlines():
        if label := _LABEL.match(line):
            labels[label[1]] = len(instructions)
        elif found := _LINE.match(line):
            predicate, opcode, operands = found.groups()
            instructions.append(Instruction(opcode, tuple(operands.split(", ")), predicate or ""))
    return Listing(instructions, labels)


def successors_in_sass(listing: Listing) -> list[list[int]]:
    """For each instruction those that may follow it.

    Calls return, so what they call (the rare cases of division and square root) is not reached; neither is the path
    of a warp whose threads have parted (BRA.DIV), which full tiles never take.
    """
    following = []
    for index, instruction in enumerate(listing.instructions):
        after = [index + 1] if index + 1 < len(listing.instructions) else []
        root, _, suffix = instruction.opcode.partition(".")
        if root == "BRA" and suffix != "DIV":
            conditional = instruction.predicate or len(instruction.operands) > 1
            following.append([listing.labels[_target(instruction)], *(after if conditional else ())])
        else:
            following.append(after if instruction.predicate or root not in _ENDS else [])
    return following


def _target(branch: Instruction) -> str:
    found = _TARGET.search(branch.operands[-1])
    return found[1] if found else branch.operands[-1]
