"""Templates that lead back to themselves by extending, including or importing: a render of them never ends.

The traceback of the render that gave up tells which statements were under way; the first template that begins inside
of itself closes the circle.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final

from fg_config.errors import TemplateError
from fg_config.nodes import Statement
from fg_config.rendering.chains import TemplateFrame, sites_of, statement_between, template_frames

if TYPE_CHECKING:
    from fg_config.rendering.render import Render

_VERBS: Final[dict[Statement, str]] = {"extends": "extend", "include": "include", "import": "import"}
_HELP_EXTENDS: Final = (
    "a template of the same name earlier in the search path hides the one you mean; rename one of them"
)
_HELP: Final = "take one of these statements out, or move what both sides need into a template of its own"


def circle_error(render: Render, trace: TracebackType | None) -> TemplateError | None:
    """The error of a render that went round in a circle, at the statement that begins it; None when it did not."""
    frames = template_frames(render, trace)
    askers = _first_circle(frames)
    if not askers:
        return None
    statements = [statement_between(render, frames[index], frames[index + 1]) for index in askers]
    sources = [frames[index].template.source for index in askers]
    steps = " -> ".join(f"{source.name} ({source.file})" for source in [*sources, sources[0]])
    kinds = {each.statement for each in statements}
    begin, line = askers[0], statements[0].line
    return TemplateError(
        f"templates {_VERBS[kinds.pop()] if len(kinds) == 1 else 'lead to'} each other in a circle: {steps}",
        code="FG0205",
        span=render.span(frames[begin].template.number, line, sites=sites_of(render, frames[: begin + 1])),
        snippet=sources[0].line_text(line),
        help=_HELP_EXTENDS if {each.statement for each in statements} == {"extends"} else _HELP,
    )


def _first_circle(frames: Sequence[TemplateFrame]) -> list[int]:
    """Where the frames stand that lead from a template back to it, in order; empty when none does."""
    begun: dict[int, int] = {}
    for index, frame in enumerate(frames):
        if frame.is_root:
            number = frame.template.number
            if number in begun and (askers := _askers(frames, begun, begun[number], index)):
                return askers
            begun[number] = index
    return []


def _askers(frames: Sequence[TemplateFrame], begun: dict[int, int], first: int, last: int) -> list[int]:
    """The frames that led from the template begun at `first` to the one begun at `last`, who asked for whom.

    Empty when that is not how it was asked for: a block of a child may include the parent that the block stands in.
    """
    askers: list[int] = []
    while last > first:
        askers.insert(0, last - 1)
        last = begun.get(frames[last - 1].template.number, first)
    return askers if last == first else []
