"""What a render assigned to its namespaces, in the order in which it happened.

`-- set ns.x = v` leaves no trace in the text. The templates are rendered once more with a namespace that writes down
each assignment and the line that made it, so the answer is what happened, not what could have: assignments in blocks
that were replaced or branches that were not taken do not appear.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final, TypeAlias

from jinja2.utils import Namespace

from fg_config.rendering.render import CompiledTemplate, Render

_Seen: TypeAlias = tuple[str, Any, int, int]  # attribute, value, number and line of the template
_TEMPLATE: Final = re.compile(r"<template (\d+)>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """`name` (dotted, `ns.lr`) was set to `value` on a line (of the file) of a template."""

    name: str
    value: Any
    template: CompiledTemplate
    line: int


def assignments_of(render: Render) -> list[Assignment]:
    """All assignments to attributes of namespaces, oldest first."""
    seen: list[_Seen] = []
    again = Render(
        find_file=render.find_file,
        in_memory=render.in_memory,
        all_names=render.all_names,
        variables={**render.variables, "namespace": _recording(seen)},
    )
    first = next(iter(render.loaded.values())).source
    again.run(first.name if first.file != "<string>" else first)
    found = (_assignment(again.loaded[number], line, name, value) for name, value, number, line in seen)
    return [assignment for assignment in found if assignment is not None]


def _recording(seen: list[_Seen]) -> type[Namespace]:
    """A namespace class that appends attribute, value, template number and line of each assignment to `seen`."""

    class RecordingNamespace(Namespace):
        def __init__(self, /, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            for name, value in dict(*args, **kwargs).items():
                seen.append((name, value, *_template_line(sys._getframe(1))))

        def __setitem__(self, name: str, value: Any) -> None:
            super().__setitem__(name, value)
            seen.append((name, value, *_template_line(sys._getframe(1))))

    return RecordingNamespace


def _template_line(frame: FrameType | None) -> tuple[int, int]:
    """Number and line of the innermost template that is running."""
    while frame is not None:
        found = _TEMPLATE.fullmatch(frame.f_code.co_filename)
        if found:
            return int(found[1]), frame.f_globals["__jinja_template__"].get_corresponding_lineno(frame.f_lineno)
        frame = frame.f_back
    raise AssertionError("templates alone make namespaces")


def _assignment(template: CompiledTemplate, line: int, attribute: str, value: Any) -> Assignment | None:
    """The assignment under the name that the template uses for the namespace."""
    for fact in template.facts.sets:
        holder, _, name = fact.target.rpartition(".")
        if fact.line == line and (not holder or name == attribute):
            dotted = fact.target if holder else f"{fact.target}.{attribute}"
            return Assignment(name=dotted, value=value, template=template, line=line + template.source.first_line - 1)
    return None
