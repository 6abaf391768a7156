"""What an exception of a called object learns on its way out: which node called it, and which lines it speaks of."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType

from fg_config.errors import GraphError
from fg_config.nodes import Call, Span

_DEPTH = 200  # frames of the builder: more than a user's own recursion leaves room for


def add_note(
    error: Exception, node: Call, path: str, keywords: Iterable[str], span_at: Callable[[str], Span | None]
) -> None:
    """Note on `error` the target path, the spec and the line of `node`, and the lines of the keywords it mentions."""
    if isinstance(error, GraphError) and error.span is None:
        error.span = node.span
    if isinstance(error, GraphError) and error.span is node.span:
        return
    lines = [f"while building {path or 'a node'!r}: {node.kind} {node.spec} ({node.span})"]
    lines += [f"  {name} was given at {place}" for name, place in _mentioned(error, keywords, span_at)]
    error.add_note("\n".join(lines))


def _mentioned(
    error: Exception, keywords: Iterable[str], span_at: Callable[[str], Span | None]
) -> Iterator[tuple[str, Span]]:
    text = str(error)
    for name in keywords:
        place = span_at(name) if _mentions(text, name) or getattr(error, "name", None) == name else None
        if place is not None:
            yield name, place


def _mentions(text: str, keyword: str) -> bool:
    """Whether a message speaks of a keyword: quoted, as `keyword=`, as its first word, or a name that is no word."""
    name = re.escape(keyword)
    forms = [rf"""['"`]{name}['"`]""", rf"\b{name}\s*=", rf"\A{name}\b"]
    if "_" in keyword:
        forms.append(rf"\b{name}\b")
    return any(re.search(form, text) for form in forms)


def nested_too_deeply(error: RecursionError, file: str) -> bool:
    """Whether it was the builder (whose code is in `file`) that used up the stack, not the called object."""
    return sum(frame == file for frame in _files(error.__traceback__)) > _DEPTH


def _files(trace: TracebackType | None) -> Iterator[str]:
    while trace is not None:
        yield trace.tb_frame.f_code.co_filename
        trace = trace.tb_next
