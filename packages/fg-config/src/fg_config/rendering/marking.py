"""Putting marks into a template while it is compiled.

Working on Jinja's syntax tree rather than on the text keeps whitespace control, raw blocks and tags that span lines
out of it. Text that a template may compare or measure stays clean: what macros, `set` blocks and filters see.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from jinja2 import nodes

from fg_config.rendering.marks import departure, entrance, marker

UNMARKED_FILTER: Final = "_unmarked"
_SEE_THROUGH: Final = frozenset({"trim", "upper", "lower"})  # filters that treat marked text like the text alone
_CAPTURES: Final = (nodes.Macro, nodes.CallBlock, nodes.AssignBlock)
_LINE_START: Final = re.compile(r"(?P<blank>[^\S\n]*)(?=\S)")


class Marker(NamedTuple):
    """How the marks of one template look. `offset` leads from its lines to those of the file."""

    number: int
    offset: int

    def place(self, line: int, column: int = 0) -> str:
        """The mark of a place."""
        return marker(self.number, line + self.offset, column)

    def around_include(self, line: int) -> tuple[str, str]:
        """The marks before and behind the text of an include."""
        return entrance(self.number, line + self.offset), departure(self.number, line + self.offset)


def mark_template(template: nodes.Template, columns: Iterator[int], mark: Marker) -> None:
    """Put marks into the output of `template`, in place. `columns` has the column of each piece of its text."""
    places = {id(data): next(columns) for data in template.find_all(nodes.TemplateData)}
    for block in template.find_all((*_CAPTURES, nodes.FilterBlock)):
        _clean_captured(block)
    _clean_values(template)
    _mark_children(template, places, mark)


# --- text that stays clean ----------------------------------------------------------------------------------------


def _clean_captured(block: nodes.Node) -> None:
    """Take marks out of what a macro, `call`, `set` or `filter` block captures."""
    match block:
        case nodes.AssignBlock():
            block.filter = _cleaned_first(block.filter, block.lineno)
        case nodes.FilterBlock() if not set(_names(block.filter)) <= _SEE_THROUGH:
            block.filter = _cleaned_first(block.filter, block.lineno)
        case nodes.Macro() | nodes.CallBlock() if any(map(_is_marked, block.find_all(nodes.Node))):
            block.body = [nodes.FilterBlock(block.body, _cleaned_first(None, block.lineno), lineno=block.lineno)]


def _names(chain: nodes.Expr | None) -> Iterator[str]:
    while isinstance(chain, nodes.Filter):
        yield chain.name
        chain = chain.node


def _cleaned_first(chain: nodes.Filter | None, line: int) -> nodes.Filter:
    """`chain` with the cleaning filter before all others."""
    clean = nodes.Filter(None, UNMARKED_FILTER, [], [], None, None, lineno=line)
    if chain is None:
        return clean
    innermost = chain
    while isinstance(innermost.node, nodes.Filter):
        innermost = innermost.node
    innermost.node = clean
    return chain


def _clean_values(node: nodes.Node, written: bool = False) -> None:
    """Clean what `super()` and `self.block()` return below `node`, unless it is `written` as it is."""
    for field, value in list(node.iter_fields()):
        passed = _passes_on(node, field, written)
        if isinstance(value, list):
            value[:] = [_clean_value(item, passed) for item in value]
        else:
            setattr(node, field, _clean_value(value, passed))


def _clean_value(item: Any, written: bool) -> Any:
    if not isinstance(item, nodes.Node):
        return item
    _clean_values(item, written)
    if written or not _is_block_text(item):
        return item
    assert item.environment is not None
    clean = nodes.Filter(item, UNMARKED_FILTER, [], [], None, None, lineno=item.lineno)
    return clean.set_environment(item.environment)


def _passes_on(node: nodes.Node, field: str, written: bool) -> bool:
    """Whether the text in `field` of `node` becomes text of the template without being looked at."""
    match node:
        case nodes.Output():
            return True
        case nodes.Filter():
            return written and field == "node" and node.name in _SEE_THROUGH
        case nodes.CondExpr():
            return written and field != "test"
    return False


def _is_marked(node: nodes.Node) -> bool:
    """Whether `node` puts text of elsewhere, with its marks, into the text around it."""
    return isinstance(node, (nodes.Include, nodes.Block)) or _is_block_text(node)


def _is_block_text(node: nodes.Node) -> bool:
    if not isinstance(node, nodes.Call):
        return False
    called = node.node
    if isinstance(called, nodes.Getattr):
        called = called.node
        return isinstance(called, nodes.Name) and called.name in ("self", "super")
    return isinstance(called, nodes.Name) and called.name == "super"


# --- marks --------------------------------------------------------------------------------------------------------


def _mark_children(node: nodes.Node, columns: Mapping[int, int], mark: Marker) -> None:
    for _, value in node.iter_fields():
        if isinstance(value, list):
            value[:] = [part for item in value for part in _marked(item, columns, mark)]
        elif isinstance(value, nodes.Node):
            _mark_children(value, columns, mark)


def _marked(item: Any, columns: Mapping[int, int], mark: Marker) -> Iterator[Any]:
    """`item` of a list of statements with marks, and the marks around it."""
    match item:
        case nodes.Include():
            before, behind = mark.around_include(item.lineno)
            yield from (_output(before, item.lineno), item, _output(behind, item.lineno))
        case nodes.Output():
            item.nodes = [part for value in item.nodes for part in _marked_value(value, columns, mark)]
            yield item
        case nodes.FilterBlock() if UNMARKED_FILTER in _names(item.filter):
            yield from (_output(mark.place(item.lineno), item.lineno), item)
        case nodes.Node():
            if not isinstance(item, _CAPTURES):
                _mark_children(item, columns, mark)
            yield item
        case _:
            yield item


def _output(text: str, line: int) -> nodes.Output:
    return nodes.Output([nodes.TemplateData(text, lineno=line)], lineno=line)


def _marked_value(value: nodes.Expr, columns: Mapping[int, int], mark: Marker) -> Iterator[nodes.Expr]:
    if isinstance(value, nodes.TemplateData):
        marked = _marked_data(value.data, value.lineno, columns[id(value)], mark)
        yield nodes.TemplateData(marked, lineno=value.lineno)
        return
    if not (isinstance(value, nodes.Const) and not str(value.value).strip()):
        yield nodes.TemplateData(mark.place(value.lineno), lineno=value.lineno)
    yield value


def _marked_data(data: str, line: int, column: int, mark: Marker) -> str:
    """Marks stand behind the indentation, where stripping whitespace does not meet them."""

    def marked(index: int, text: str) -> str:
        begin = 1 if index else column
        return _LINE_START.sub(
            lambda found: found[0] + mark.place(line + index, begin and begin + found.end()), text, count=1
        )

    return "\n".join(marked(index, text) for index, text in enumerate(data.split("\n")))


# --- columns ------------------------------------------------------------------------------------------------------


def text_columns(source: str, tokens: Iterator[tuple[int, str, str]]) -> Iterator[int]:
    """The column (from 1) that each piece of literal text begins in. `tokens` are what Jinja2 reads in `source`.

    Tokens are parts of the source in order; between two of them lies nothing but stripped whitespace.
    """
    position = 0
    for _, kind, text in tokens:
        position = source.find(text, position)
        if kind == "data" and text:
            yield position - source.rfind("\n", 0, position)
        position += len(text)
