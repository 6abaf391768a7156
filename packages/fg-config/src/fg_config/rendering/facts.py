"""What a template's syntax tree says about it: parents, blocks, names that are read and set, text never rendered.

This is the index behind warnings, `explain` and `check`. It is plain data: lines count from 1 within the template, and
names are dotted as written (`ns.max_steps`). The facts of a template are kept beside its code on disk, so they are
tuples: quickly made, and quickly read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from jinja2 import nodes
from jinja2.sandbox import SandboxedEnvironment

from fg_config.nodes import Statement
from fg_config.rendering.limits import LimitError, check_operation


class Reference(NamedTuple):
    """An `extends`, `include` or `import`; `target` is None when the name is computed."""

    kind: Statement
    target: str | None
    line: int


class BlockFact(NamedTuple):
    """A block: its first and last line, the block around it, and whether it keeps what its parent says."""

    name: str
    line: int
    end_line: int
    outer: str | None
    required: bool
    calls_super: bool


class DefaultFact(NamedTuple):
    """`name | default(value)`; `constant` tells whether the value is written out, `value` is it then."""

    name: str
    constant: bool
    value: Any


class ExpressionFact(NamedTuple):
    """An expression whose value becomes text: the names it reads and the defaults it falls back to."""

    line: int
    names: tuple[str, ...]
    defaults: tuple[DefaultFact, ...]


class SetFact(NamedTuple):
    """`-- set target = …`: what is set, and what the value is computed from."""

    line: int
    target: str
    names: tuple[str, ...]
    defaults: tuple[DefaultFact, ...]


class TemplateFacts(NamedTuple):
    """All facts of one template. `names_read` holds every name with the lines that read it."""

    references: tuple[Reference, ...]
    blocks: tuple[BlockFact, ...]
    expressions: tuple[ExpressionFact, ...]
    sets: tuple[SetFact, ...]
    names_read: tuple[tuple[str, int], ...]
    stray_text: tuple[int, ...]

    @property
    def is_child(self) -> bool:
        """Whether the template extends another."""
        return any(reference.kind == "extends" for reference in self.references)

    @property
    def outer_blocks(self) -> tuple[BlockFact, ...]:
        """The blocks that stand in no other block."""
        return tuple(block for block in self.blocks if block.outer is None)

    @property
    def block_names(self) -> frozenset[str]:
        """The names of all blocks."""
        return frozenset(block.name for block in self.blocks)

    def block(self, name: str) -> BlockFact | None:
        """The block of that name."""
        return next((block for block in self.blocks if block.name == name), None)

    def block_at(self, line: int) -> BlockFact | None:
        """The innermost block around `line`."""
        around = [block for block in self.blocks if block.line <= line <= block.end_line]
        return max(around, key=lambda block: (block.line, -block.end_line), default=None)

    def reference_to(self, target: str) -> Reference:
        """The statement that names `target`, else the one whose target is computed, else an include on line 1."""
        exact = [reference for reference in self.references if reference.target == target]
        computed = [reference for reference in self.references if reference.target is None]
        return [*exact, *computed, Reference(kind="include", target=target, line=1)][0]


def facts_of(template: nodes.Template) -> TemplateFacts:
    """Collect the facts of an unmarked syntax tree."""
    return TemplateFacts(
        references=tuple(_references(template)),
        blocks=tuple(_blocks(template, None)),
        expressions=tuple(_expressions(template)),
        sets=tuple(_sets(template)),
        names_read=tuple(dict.fromkeys(_reads(template))),
        stray_text=tuple(_stray_text(template)),
    )


# --- as plain tuples ----------------------------------------------------------------------------------------------


def to_plain(facts: Any) -> Any:
    """Facts as tuples of strings and numbers, which `marshal` takes."""
    return tuple(map(to_plain, facts)) if isinstance(facts, tuple) else facts


def from_plain(plain: Any) -> TemplateFacts:
    """The inverse of `to_plain`."""
    references, blocks, expressions, sets, names_read, stray_text = plain
    return TemplateFacts(
        references=tuple(map(Reference._make, references)),
        blocks=tuple(map(BlockFact._make, blocks)),
        expressions=tuple(ExpressionFact._make((*row, _defaults(defaults))) for *row, defaults in expressions),
        sets=tuple(SetFact._make((*row, _defaults(defaults))) for *row, defaults in sets),
        names_read=names_read,
        stray_text=stray_text,
    )


def _defaults(rows: tuple[Any, ...]) -> tuple[DefaultFact, ...]:
    return tuple(map(DefaultFact._make, rows))


# --- templates and blocks -----------------------------------------------------------------------------------------


def _references(template: nodes.Template) -> Iterator[Reference]:
    for node in template.find_all((nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)):
        for name in _constants(node.template):
            yield Reference(kind=_kind(node), target=name, line=node.lineno)


def _kind(node: nodes.Node) -> Statement:
    if isinstance(node, nodes.Extends):
        return "extends"
    return "include" if isinstance(node, nodes.Include) else "import"


def _constants(expression: nodes.Expr) -> list[str | None]:
    items = expression.items if isinstance(expression, (nodes.List, nodes.Tuple)) else [expression]
    return [item.value if isinstance(item, nodes.Const) and isinstance(item.value, str) else None for item in items]


def _blocks(node: nodes.Node, outer: str | None) -> Iterator[BlockFact]:
    for child in node.iter_child_nodes():
        if not isinstance(child, nodes.Block):
            yield from _blocks(child, outer)
            continue
        yield BlockFact(
            name=child.name,
            line=child.lineno,
            end_line=_last_line(child),
            outer=outer,
            required=child.required,
            calls_super=_calls_super(child),
        )
        yield from _blocks(child, child.name)


def _last_line(node: nodes.Node) -> int:
    """Jinja2 keeps no end of a block; text knows how many lines it spans."""
    last = node.lineno
    for inner in node.find_all((nodes.Expr, nodes.Stmt)):
        newlines = inner.data.count("\n") if isinstance(inner, nodes.TemplateData) else 0
        last = max(last, inner.lineno + newlines)
    return last


def _calls_super(node: nodes.Node) -> bool:
    """Whether `super` is read here (`super()`, `super.super()`); inside an inner block it means that block's parent."""
    return any(
        not isinstance(child, nodes.Block)
        and ((isinstance(child, nodes.Name) and child.name == "super") or _calls_super(child))
        for child in node.iter_child_nodes()
    )


# --- names --------------------------------------------------------------------------------------------------------


def _expressions(template: nodes.Template) -> Iterator[ExpressionFact]:
    for output in template.find_all(nodes.Output):
        for item in output.nodes:
            if not isinstance(item, (nodes.TemplateData, nodes.Const)):
                yield ExpressionFact(line=item.lineno, names=_names_in(item), defaults=_defaults_in(item))


def _sets(template: nodes.Template) -> Iterator[SetFact]:
    for node in template.find_all((nodes.Assign, nodes.AssignBlock)):
        value = node.node if isinstance(node, nodes.Assign) else nodes.Template(node.body)
        targets = node.target.items if isinstance(node.target, nodes.Tuple) else [node.target]
        for target in targets:
            yield SetFact(
                line=node.lineno, target=dotted(target) or "", names=_names_in(value), defaults=_defaults_in(value)
            )


def _reads(template: nodes.Template) -> Iterator[tuple[str, int]]:
    for node, name in _named(template):
        yield name, node.lineno


def _names_in(node: nodes.Node) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for _, name in _named(node)))


def _named(node: nodes.Node) -> Iterator[tuple[nodes.Node, str]]:
    """Every name that is read, as far as it is dotted: `ns.lr`, not also `ns`."""
    name = dotted(node)
    if name is not None:
        if not isinstance(node, nodes.NSRef) and getattr(node, "ctx", "load") == "load":
            yield node, name
        return
    for child in node.iter_child_nodes():
        yield from _named(child)


def dotted(node: nodes.Node) -> str | None:
    """`ns.lr` for a chain of names, None for anything else."""
    match node:
        case nodes.Name():
            return node.name
        case nodes.NSRef():
            return f"{node.name}.{node.attr}"
        case nodes.Getattr():
            holder = dotted(node.node)
            return holder and f"{holder}.{node.attr}"
    return None


def _defaults_in(node: nodes.Node) -> tuple[DefaultFact, ...]:
    inner = [node, *node.find_all(nodes.Filter)]
    return tuple(_default(found) for found in inner if isinstance(found, nodes.Filter) and _is_default(found))


def _is_default(node: nodes.Filter) -> bool:
    falls_back = node.name in ("default", "d") or (node.name == "toyaml" and bool(node.args))
    return falls_back and node.node is not None and dotted(node.node) is not None


def _default(node: nodes.Filter) -> DefaultFact:
    assert node.node is not None
    try:
        value = _constant(node.args[0]) if node.args else ""
    except nodes.Impossible:
        return DefaultFact(name=dotted(node.node) or "", constant=False, value=None)
    return DefaultFact(name=dotted(node.node) or "", constant=True, value=value)


def _constant(node: nodes.Expr) -> Any:
    """The value of what is written out. Jinja2 leaves arithmetic to the render when it has limits."""
    if not isinstance(node, nodes.BinExpr) or node.operator in ("and", "or"):
        return node.as_const()
    left, right = _constant(node.left), _constant(node.right)
    try:
        check_operation(node.operator, left, right)
        return SandboxedEnvironment.default_binop_table[node.operator](left, right)
    except (LimitError, ArithmeticError, TypeError) as error:
        raise nodes.Impossible from error


# --- text ---------------------------------------------------------------------------------------------------------


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
