"""The chain of includes and parents that leads from the first template to a place, innermost first.

Includes are known by occurrence: marks around their text tell which of them a rendered place lies in, the traceback
tells it of an error. Between two includes only `extends` leads on. What is not known so (the text of macros, a block
that a filter took apart) is told by the first request for the template.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fg_config.nodes import Statement, Step

if TYPE_CHECKING:
    from fg_config.rendering.compiling import CompiledTemplate
    from fg_config.rendering.render import Render
    from fg_config.rendering.sourcemap import Sites

_FILE_NAME: Final = re.compile(r"<template (\d+)>")
_ROOTS: Final = ("root", "top-level template code")  # as Jinja2 compiles it, and as it shows it in tracebacks


class TemplateFrame(NamedTuple):
    """A template in a traceback, the line of its file, and whether the frame is its beginning rather than a block.

    `variables` are those of the template: Jinja2 puts them there for debuggers.
    """

    template: CompiledTemplate
    line: int
    is_root: bool
    variables: Mapping[str, Any]


def chain_to(render: Render, number: int, sites: Sites) -> tuple[Step, ...]:
    """The steps that led to the template `number` inside the includes `sites` (outermost first)."""
    heirs = _heirs_at(render, number, sites)
    if heirs is None:
        return first_requests(render, render.loaded[number].source.name)
    steps = tuple(request_step(heir, name) for heir, name in heirs)
    if not sites:
        return steps
    *outer, (asker, line) = sites
    return (*steps, site_step(render.loaded[asker], line), *chain_to(render, asker, tuple(outer)))


def _heirs_at(render: Render, number: int, sites: Sites) -> list[tuple[CompiledTemplate, str]] | None:
    entries = _included_at(render, *sites[-1]) if sites else [next(iter(render.loaded.values()))]
    return next((path for entry in entries if (path := _heirs(render, entry, number)) is not None), None)


def _heirs(render: Render, entry: CompiledTemplate, number: int) -> list[tuple[CompiledTemplate, str]] | None:
    """The templates that extend each other from `number` down to `entry`, with the names of their parents."""
    heirs: list[tuple[CompiledTemplate, str]] = []
    while entry.number != number:
        parent = render.parent_of(entry)
        if parent is None or any(parent is heir for heir, _ in heirs):
            return None
        heirs.insert(0, (entry, parent.source.name))
        entry = parent
    return heirs


def _included_at(render: Render, asker: int, line: int) -> Iterator[CompiledTemplate]:
    """The templates that an include on `line` of a template may have meant."""
    template = render.loaded.get(asker)
    if template is None:
        return
    includes = [each for each in template.facts.references if each.kind != "extends"]
    here = {each.target for each in includes if each.line + template.source.first_line - 1 == line}
    elsewhere = {each.target for each in template.facts.references} - here
    for name, by in render.requests:
        if by == asker and name in render.by_name and (name in here or (None in here and name not in elsewhere)):
            yield render.loaded[render.by_name[name]]


def first_requests(render: Render, name: str) -> tuple[Step, ...]:
    """Who asked for `name` first, who asked for that one, and so on."""
    chain: list[Step] = []
    seen: set[str] = set()
    while name not in seen:
        seen.add(name)
        asker = next((render.loaded[number] for template, number in render.requests if template == name), None)
        if asker is None:
            break
        chain.append(request_step(asker, name))
        name = asker.source.name
    return tuple(chain)


def request_step(template: CompiledTemplate, name: str) -> Step:
    """The statement of `template` that asks for the template `name`."""
    reference = template.facts.reference_to(name)
    return _step(template, reference.line, reference.kind)


def site_step(template: CompiledTemplate, line: int) -> Step:
    """The include or import on `line` of the file."""
    inner = line - template.source.first_line + 1
    kinds = (each.kind for each in template.facts.references if each.line == inner and each.kind != "extends")
    return _step(template, inner, next(kinds, "include"))


def _step(template: CompiledTemplate, line: int, statement: Statement) -> Step:
    source, block = template.source, template.facts.block_at(line)
    return Step(
        file=source.file,
        line=line + source.first_line - 1,
        label=source.label,
        statement=statement,
        block=block.name if block else None,
    )


# --- tracebacks ---------------------------------------------------------------------------------------------------


def template_frames(render: Render, trace: TracebackType | None) -> list[TemplateFrame]:
    """The templates in a traceback, outermost first; Jinja2 has already put template lines into it."""
    frames = []
    while trace is not None:
        code = trace.tb_frame.f_code
        named = _FILE_NAME.fullmatch(code.co_filename)
        template = render.loaded.get(int(named[1])) if named else None
        if template is not None:
            line = trace.tb_lineno + template.source.first_line - 1
            frames.append(TemplateFrame(template, line, code.co_name in _ROOTS, trace.tb_frame.f_locals))
        trace = trace.tb_next
    return frames


def sites_of(render: Render, frames: list[TemplateFrame]) -> Sites:
    """The includes that were under way."""
    return tuple((asker.template.number, asker.line) for asker, _ in _includes(render, frames))


def youngest(render: Render, frames: list[TemplateFrame]) -> CompiledTemplate:
    """The template that extends all others that were under way, up to the last include."""
    return [frames[0], *(begun for _, begun in _includes(render, frames))][-1].template


def _includes(render: Render, frames: list[TemplateFrame]) -> Iterator[tuple[TemplateFrame, TemplateFrame]]:
    """Who included, and what: a template that begins below another, and is not its parent."""
    for outer, inner in pairwise(frames):
        if inner.is_root and not _extends(render, outer, inner):
            yield outer, inner


def statement_between(render: Render, outer: TemplateFrame, inner: TemplateFrame) -> Step:
    """The statement by which the template of `outer` began that of `inner`, the next frame."""
    if _extends(render, outer, inner):
        return request_step(outer.template, inner.template.source.name)
    return site_step(outer.template, outer.line)


def _extends(render: Render, outer: TemplateFrame, inner: TemplateFrame) -> bool:
    return outer.is_root and render.parent_of(outer.template) is inner.template
