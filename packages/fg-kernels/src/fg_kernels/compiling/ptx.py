"""PTX as a list of instructions: the compiled code before registers are assigned, where addresses can be followed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fg_kernels.compiling.flow import Instruction, Listing

_STATEMENT = re.compile(r"(?:@(!?%?[\w$]+)\s+)?([a-z][\w.:]*)\s*(.*)", re.DOTALL)
_OPERAND = re.compile(r"\{[^}]*\}|\[[^\]]*\]|[^,\s](?:[^,]*[^,\s])?")
_LABEL = re.compile(r"^\s*(\$?[\w$]+):\s*$")
_ENDS = frozenset({"ret", "exit", "trap"})


def parse_ptx(text: str) -> Listing:
    """Read the body of the one kernel in `text`."""
    instructions: list[Instruction] = []
    labels: dict[str, int] = {}
    for statement in _statements(text):
        if label := _LABEL.match(statement):
            labels[label[1]] = len(instructions)
        elif found := _STATEMENT.fullmatch(statement):
            predicate, opcode, operands = found.groups()
            instructions.append(Instruction(opcode, tuple(_OPERAND.findall(operands)), predicate or ""))
    return Listing(instructions, labels)


def successors_in_ptx(listing: Listing) -> list[list[int]]:
    """For each instruction those that may follow it."""
    following = []
    for index, (opcode, operands, predicate) in enumerate(listing.instructions):
        after = [index + 1] if index + 1 < len(listing.instructions) else []
        root = opcode.split(".")[0]
        if root == "bra":
            following.append([listing.labels[operands[-1]], *(after if predicate else ())])
        else:
            following.append(after if predicate or root not in _ENDS else [])
    return following


def _statements(text: str) -> Iterator[str]:
    """Labels, and instructions without their semicolon; comments, directives and the braces of scopes are left out."""
    body = re.sub(r"//[^\n]*", "", text[text.index("{") + 1 :])
    for line in body.splitlines():
        if _LABEL.match(line):
            yield line
            continue
        for part in line.split(";"):
            statement = re.sub(r"^[{}\s]+|\s+$", "", part)
            if statement and not statement.startswith("."):
                yield statement
