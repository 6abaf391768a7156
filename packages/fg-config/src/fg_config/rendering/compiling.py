"""Templates as code: compiled once per text, kept in memory and on disk.

The code of a template carries its number: in its marks, as the name that its requests carry, and in the file name
that tracebacks carry. Numbers belong to the process, so what is stored on disk has a placeholder in their place.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from types import CodeType
from typing import Any, Final

import jinja2

from fg_config.rendering import code_cache
from fg_config.rendering.facts import TemplateFacts, facts_of, from_plain, to_plain
from fg_config.rendering.language import TemplateEnvironment
from fg_config.rendering.limits import limit_template
from fg_config.rendering.marking import Marker, mark_template, text_columns
from fg_config.rendering.marks import TEMPLATES, template_character
from fg_config.rendering.preprocess import preprocess
from fg_config.rendering.source import TemplateSource
from fg_config.rendering.syntax_errors import syntax_error

_LIMIT: Final = 1024
_PLACEHOLDER: Final = TEMPLATES - 1
_MODULES: Final = ("preprocess", "marks", "marking", "limits", "facts", "language", "names", "compiling")
"""The modules of this package that decide what a template compiles to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledTemplate:
    """A template as code. `number` identifies it in marks."""

    number: int
    source: TemplateSource
    code: CodeType
    facts: TemplateFacts


_compiled: dict[TemplateSource, CompiledTemplate] = {}
_numbers = itertools.count()
_parser = TemplateEnvironment(jinja2.DictLoader({}), lambda template, parent: None)


def compile_template(source: TemplateSource) -> CompiledTemplate:
    """Compile with marks; equal sources share their code. Raises `TemplateError`."""
    found = _compiled.get(source)
    if found is None:
        if len(_compiled) >= _LIMIT:
            _compiled.clear()
        number = next(_numbers) % _PLACEHOLDER
        code, facts = _stored_or_compiled(source)
        located = relocated(code, template_character(_PLACEHOLDER), number)
        found = _compiled[source] = CompiledTemplate(number=number, source=source, code=located, facts=facts)
    return found


def _stored_or_compiled(source: TemplateSource) -> tuple[CodeType, TemplateFacts]:
    """Code with the placeholder, and facts: from an earlier process, or made now."""
    key = code_cache.key_of(_MODULES, source.text, source.first_line)
    stored = code_cache.load(key)
    if stored is not None:
        code, facts = stored
        return code, from_plain(facts)
    code, facts = _compile(source)
    code_cache.store(key, (code, to_plain(facts)))
    return code, facts


def _compile(source: TemplateSource) -> tuple[CodeType, TemplateFacts]:
    try:
        text = preprocess(source.text)
        tree = _parser.parse(text)
        facts = facts_of(tree)
        limit_template(tree)
        marker = Marker(number=_PLACEHOLDER, offset=source.first_line - 1)
        mark_template(tree, text_columns(text, _parser.lex(text)), marker)
        code = _parser.compile(tree, name=template_character(_PLACEHOLDER), filename="<template>")
    except jinja2.TemplateSyntaxError as error:
        raise syntax_error(error, source, _parser.filters) from error
    return code, facts


def relocated(code: CodeType, placeholder: str, number: int) -> CodeType:
    """`code` with the number of a template wherever it has the placeholder."""
    character = template_character(number)

    def constant(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace(placeholder, character)
        if isinstance(value, tuple):
            return tuple(map(constant, value))
        return relocated(value, placeholder, number) if isinstance(value, CodeType) else value

    constants = tuple(map(constant, code.co_consts))
    return code.replace(co_consts=constants, co_filename=f"<template {number}>")
