"""From the marks of the YAML parser to places in templates."""

from __future__ import annotations

from typing import Any

import yaml

from fg_config.errors import YamlError
from fg_config.nodes import Span
from fg_config.rendering.sourcemap import RenderedText


def span_of(node: yaml.Node, text: str) -> Span:
    """The place of a YAML node in the templates that `text` was rendered from."""
    return span_at(node.start_mark, text)


def span_at(mark: Any, text: str) -> Span:
    """The place of a mark of the YAML parser in the templates that `text` was rendered from."""
    if isinstance(text, RenderedText):
        return text.span(mark.index)
    return Span(file="<text>", line=mark.line + 1, column=mark.column + 1)


def line_around(offset: int, text: str) -> str:
    """The line of `text` that holds `offset`."""
    end = text.find("\n", offset)
    return text[text.rfind("\n", 0, offset) + 1 : len(text) if end < 0 else end]


def yaml_error(message: str, node: yaml.Node, text: str, *, code: str = "FG0301", help: str | None = None) -> YamlError:
    """A `YamlError` at the place of `node`."""
    snippet = line_around(node.start_mark.index, text)
    return YamlError(message, code=code, span=span_of(node, text), snippet=snippet, help=help)
