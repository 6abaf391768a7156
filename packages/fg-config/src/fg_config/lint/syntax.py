"""What a template reads and binds, seen with the scopes of loops and macros: by this, undefined names are found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import jinja2
from jinja2 import nodes
from jinja2.defaults import DEFAULT_NAMESPACE
from jinja2.sandbox import SandboxedEnvironment

from fg_config.rendering.facts import dotted
from fg_config.rendering.preprocess import preprocess
from fg_config.rendering.source import TemplateSource

BUILT_IN: Final = frozenset({*DEFAULT_NAMESPACE, "super", "self", "caller", "varargs", "kwargs"})
_parser: Final = SandboxedEnvironment(trim_blocks=True)


@dataclass(frozen=True, slots=True)
class Read:
    """A name, dotted as far as it is written so, that is read on `line`. `guarded`: it may be undefined there."""

    name: str
    line: int
    guarded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """`-- set name = …`, an import or a macro; `from_import` names what an import takes from another template."""

    name: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Syntax:
    """The names of one template; lines count from 1 within it. `namespaces` maps a name to the keys it begins with,
    None when they cannot be known; `imported` are names that the template takes from another one.
    """

    reads: tuple[Read, ...]
    sets: tuple[Binding, ...]
    bound: frozenset[str]
    imported: frozenset[str]
    namespaces: dict[str, frozenset[str] | None]
    words: frozenset[str]


@lru_cache(maxsize=4096)
def syntax_of(source: TemplateSource) -> Syntax | None:
    """The names of a template; None when Jinja2 cannot read it."""
    try:
        tree = _parser.parse(preprocess(source.text))
    except jinja2.TemplateSyntaxError:
        return None
    sets = tuple(_sets(tree))
    return Syntax(
        reads=tuple(_reads(tree, frozenset(), guarded=False)),
        sets=sets,
        bound=frozenset({*(each.name for each in sets), *_definitions(tree)}),
        imported=frozenset(_imported(tree)),
        namespaces=dict(_namespaces(tree)),
        words=frozenset(str(each.value) for each in tree.find_all(nodes.Const)),
    )


# --- what is bound ------------------------------------------------------------------------------------------------


def _sets(tree: nodes.Template) -> Iterator[Binding]:
    for node in tree.find_all((nodes.Assign, nodes.AssignBlock)):
        for target in node.target.items if isinstance(node.target, nodes.Tuple) else [node.target]:
            if name := dotted(target):
                yield Binding(name=name, line=node.lineno)


def _definitions(tree: nodes.Template) -> Iterator[str]:
    for node in tree.find_all((nodes.Macro, nodes.Import, nodes.FromImport)):
        if isinstance(node, nodes.Macro):
            yield node.name
        elif isinstance(node, nodes.Import):
            yield node.target
        elif isinstance(node, nodes.FromImport):
            yield from (each if isinstance(each, str) else each[1] for each in node.names)


def _imported(tree: nodes.Template) -> Iterator[str]:
    for node in tree.find_all(nodes.FromImport):
        yield from (each if isinstance(each, str) else each[0] for each in node.names)


def _namespaces(tree: nodes.Template) -> Iterator[tuple[str, frozenset[str] | None]]:
    for node in tree.find_all(nodes.Assign):
        if isinstance(node.target, nodes.Name) and isinstance(node.node, nodes.Call):
            call = node.node
            if isinstance(call.node, nodes.Name) and call.node.name == "namespace":
                open_ended = call.args or call.dyn_args or call.dyn_kwargs
                yield node.target.name, None if open_ended else frozenset(each.key for each in call.kwargs)


# --- what is read -------------------------------------------------------------------------------------------------


def _reads(node: nodes.Node, local: frozenset[str], *, guarded: bool) -> Iterator[Read]:
    name = dotted(node)
    if name is not None:
        is_read = getattr(node, "ctx", "load") == "load" and not isinstance(node, nodes.NSRef)
        if is_read and name.partition(".")[0] not in local:
            yield Read(name, node.lineno, guarded)
        return
    inner = local | frozenset(_bound_inside(node))
    for child in node.iter_child_nodes():
        scope = local if isinstance(node, nodes.For) and child is node.iter else inner
        yield from _reads(child, scope, guarded=_tolerates(node, child))


def _bound_inside(node: nodes.Node) -> Iterator[str]:
    """The names that exist only inside of `node`."""
    match node:
        case nodes.For():
            yield "loop"
            targets = [node.target, *node.target.find_all(nodes.Name)]
            yield from (each.name for each in targets if isinstance(each, nodes.Name))
        case nodes.Macro() | nodes.CallBlock():
            yield from (each.name for each in node.args)
        case nodes.With():
            yield from (each.name for each in node.targets if isinstance(each, nodes.Name))


def _tolerates(node: nodes.Node, child: nodes.Node) -> bool:
    """Whether `node` lets `child` be undefined."""
    match node:
        case nodes.Filter(name="default" | "d"):
            return child is node.node
        case nodes.Filter(name="toyaml"):
            return child is node.node and bool(node.args)
        case nodes.Test(name="defined" | "undefined"):
            return child is node.node
    return False
