"""What a value would be if no child had replaced the block: lines of parent templates that were never rendered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from fg_config.nodes import Span
from fg_config.rendering.facts import BlockFact
from fg_config.rendering.overriding import lineage
from fg_config.rendering.render import CompiledTemplate, Render

_KEY: Final = re.compile(r"(?P<indent>\s*)(?P<item>(?:- )*)(?P<quote>['\"]?)(?P<key>[\w.-]+)(?P=quote)\s*:(?=\s|$)")


def replaced_lines(render: Render, span: Span, key: Any) -> Iterator[tuple[CompiledTemplate, int]]:
    """Template and line (of the file) of each text for `key` that the block around `span` replaced, nearest first.

    It stands in the same block of a parent template, under the same keys.
    """
    template = render.template_at(span)
    block = _block(template, span.line) if template else None
    if template is None or block is None:
        return
    wanted = _keys_down_to(template, block, span.line)
    if wanted is None or wanted[-1] != str(key):
        return
    reached = _keeps_parent(template, block.name)
    for parent in ancestors(render, template):
        same = next((each for each in parent.facts.blocks if each.name == block.name), None)
        if same is None:
            continue
        if not reached:
            yield from ((parent, line) for line, keys in _keyed_lines(parent, same) if keys == wanted)
        reached = reached and _keeps_parent(parent, block.name)


def ancestors(render: Render, template: CompiledTemplate) -> list[CompiledTemplate]:
    """The templates that `template` extends, nearest first."""
    return lineage(render, template)[1:]


def _block(template: CompiledTemplate, line: int) -> BlockFact | None:
    return template.facts.block_at(line - template.source.first_line + 1)


def _keeps_parent(template: CompiledTemplate, name: str) -> bool:
    return any(block.calls_super for block in template.facts.blocks if block.name == name)


def _keys_down_to(template: CompiledTemplate, block: BlockFact, line: int) -> tuple[str, ...] | None:
    return next((keys for at, keys in _keyed_lines(template, block) if at == line), None)


def _keyed_lines(template: CompiledTemplate, block: BlockFact) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Line of the file, and the keys that lead to it within the block by their indentation."""
    source = template.source
    open_keys: list[tuple[int, str]] = []
    for line in range(block.line + source.first_line - 1, block.end_line + source.first_line):
        found = _KEY.match(source.line_text(line))
        if found is None or template.facts.block_at(line - source.first_line + 1) is not block:
            continue
        indent = len(found["indent"]) + len(found["item"])
        open_keys = [*(each for each in open_keys if each[0] < indent), (indent, found["key"])]
        yield line, tuple(key for _, key in open_keys)
