"""Where a template names something: other templates, blocks, variables; and a rendered config its anchors and specs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import yaml

from fg_config.lint.context import ConfigContext, source_span
from fg_config.lint.rules_yaml import anchors_of
from fg_config.lint.syntax import syntax_of
from fg_config.nodes import Call, Span
from fg_config.parsing.places import span_of
from fg_config.rendering.facts import TemplateFacts
from fg_config.rendering.source import TemplateSource
from fg_config.tagged import container_tag
from fg_config.walking import walk

SymbolKind: TypeAlias = Literal["template", "block", "variable", "anchor", "spec", "target"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """A name at a place; the column is that of the name, 0 where the text was made by an expression.

    `template` is the template it stands in. Anchors, specs and targets exist in what a config renders to: `config` is
    that config. A block `defines` where no parent has it; in a child it is another use.
    """

    kind: SymbolKind
    name: str
    span: Span
    defines: bool
    template: str
    config: str | None = None

    def covers(self, file: str, line: int, column: int) -> bool:
        """Whether the name stands at a place (line and column from 1; column 0 means anywhere on the line)."""
        if (self.span.file, self.span.line) != (file, line):
            return False
        return not column or not self.span.column or 0 <= column - self.span.column <= len(self.name)


# --- in templates -------------------------------------------------------------------------------------------------


def in_template(source: TemplateSource, facts: TemplateFacts) -> Iterator[Occurrence]:
    """The template itself, the templates it names, its blocks and its variables."""
    own = source_span(source, 0 if source.label else 1)
    yield Occurrence(kind="template", name=source.name, span=own, defines=True, template=source.name)
    for reference in facts.references:
        if reference.target is not None:
            yield _written(source, "template", reference.target, reference.line, defines=False)
    for block in facts.blocks:
        yield _written(source, "block", block.name, block.line, defines=True)
    if syntax := syntax_of(source):
        for each in syntax.sets:
            yield _written(source, "variable", each.name, each.line, defines=True)
        for read in syntax.reads:
            yield _written(source, "variable", read.name, read.line, defines=False)


def _written(source: TemplateSource, kind: SymbolKind, name: str, line: int, *, defines: bool) -> Occurrence:
    at = line + source.first_line - 1
    span = source_span(source, line, column_of(name, source.line_text(at)))
    return Occurrence(kind=kind, name=name, span=span, defines=defines, template=source.name)


def column_of(name: str, text: str, before: str = "") -> int:
    """The column (from 1) of a whole name behind `before`; 0 when it is not written in `text`."""
    found = re.search(rf"(?<![\w.]){re.escape(before)}{re.escape(name)}(?!\w)", text)
    return found.start() + len(before) + 1 if found else 0


# --- in rendered configs ------------------------------------------------------------------------------------------


def in_config(context: ConfigContext) -> Iterator[Occurrence]:
    """Anchors and their aliases, targets and import specs of one config, as far as it could be read."""
    if context.document is not None:
        yield from _anchors(context)
        yield from _targets(context)
    if context.graph is not None:
        yield from _specs(context)


def _anchors(context: ConfigContext) -> Iterator[Occurrence]:
    assert context.text is not None
    for anchor in anchors_of(context.text):
        yield _rendered(context, "anchor", anchor.name, anchor.span, before="&", defines=True)
        for use in anchor.uses:
            yield _rendered(context, "anchor", anchor.name, use, before="*", defines=False)


def _targets(context: ConfigContext) -> Iterator[Occurrence]:
    assert context.text is not None
    if isinstance(context.document, yaml.MappingNode):
        for key, _ in context.document.value:
            if isinstance(key, yaml.ScalarNode) and not key.value.startswith((".", "<<")):
                yield _rendered(context, "target", key.value, span_of(key, context.text), defines=True)


def _specs(context: ConfigContext) -> Iterator[Occurrence]:
    assert context.graph is not None
    for value in walk([context.graph.root]):
        if isinstance(value, Call) and not container_tag(value):
            yield _rendered(context, "spec", value.spec, value.span, defines=False)


def _rendered(
    context: ConfigContext, kind: SymbolKind, name: str, span: Span, *, defines: bool, before: str = ""
) -> Occurrence:
    template = context.template_at(span)
    column = column_of(name, context.line_text(span), before)
    return Occurrence(
        kind=kind,
        name=name,
        span=Span(file=span.file, line=span.line, column=column, label=span.label),
        defines=defines,
        template=template.source.name if template else "",
        config=context.name,
    )
