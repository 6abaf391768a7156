"""What a template's syntax tree says about it: its parents, its blocks, and text that can never be rendered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jinja2 import nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """An `extends`, `include` or `import`; `target` is None when the name is computed."""

    kind: Literal["extends", "include"]
    target: str | None
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateFacts:
    """Lines count from 1 within the template."""

    references: tuple[Reference, ...]
    outer_blocks: tuple[tuple[str, int], ...]
    all_blocks: frozenset[str]
    stray_text: tuple[int, ...]

    @property
    def is_child(self) -> bool:
        """Whether the template extends another."""
        return any(reference.kind == "extends" for reference in self.references)

    def line_of(self, target: str) -> int:
        """The line of the statement that names `target`, else of one whose target is computed, else 1."""
        exact = [reference.line for reference in self.references if reference.target == target]
        computed = [reference.line for reference in self.references if reference.target is None]
        return [*exact, *computed, 1][0]


def facts_of(template: nodes.Template) -> TemplateFacts:
    """Collect the facts of an unmarked syntax tree."""
    blocks = list(template.find_all(nodes.Block))
    return TemplateFacts(
        references=tuple(_references(template)),
        outer_blocks=tuple((node.name, node.lineno) for node in template.body if isinstance(node, nodes.Block)),
        all_blocks=frozenset(block.name for block in blocks),
        stray_text=tuple(_stray_text(template)),
    )


def _references(template: nodes.Template) -> list[Reference]:
    found = []
    for node in template.find_all((nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)):
        kind = "extends" if isinstance(node, nodes.Extends) else "include"
        for name in _names(node.template):
            found.append(Reference(kind=kind, target=name, line=node.lineno))
    return found


def _names(expression: nodes.Expr) -> list[str | None]:
    items = expression.items if isinstance(expression, (nodes.List, nodes.Tuple)) else [expression]
    return [item.value if isinstance(item, nodes.Const) and isinstance(item.value, str) else None for item in items]


def _stray_text(template: nodes.Template) -> list[int]:
    """Lines outside all blocks that are neither blank nor YAML comments."""
    lines = []
    for output in (node for node in template.body if isinstance(node, nodes.Output)):
        for item in output.nodes:
            if not isinstance(item, nodes.TemplateData):
                if not (isinstance(item, nodes.Const) and not str(item.value).strip()):
                    lines.append(item.lineno)
                continue
            for index, text in enumerate(item.data.split("\n")):
                if text.strip() and not text.lstrip().startswith("#"):
                    lines.append(item.lineno + index)
    return sorted(set(lines))
