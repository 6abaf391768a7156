"""FG04: what a graph can be read with and hardly built with, or not as it was meant."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from fg_config.graph import entries
from fg_config.lint.context import ConfigContext
from fg_config.lint.findings import Finding
from fg_config.lint.rules_yaml import nodes_of
from fg_config.nodes import MISSING, Call, Span, Value, Var
from fg_config.parsing.places import span_of
from fg_config.tagged import container_tag
from fg_config.walking import walk

_GIVEN: frozenset[str] = frozenset({"pp_config"})  # what every build of a project gives


# --- variables ----------------------------------------------------------------------------------------------------


def variables_without_default(context: ConfigContext) -> Iterator[Finding]:
    """`!var` without a default, with the targets that need it."""
    assert context.graph is not None
    needed: dict[str, list[str]] = {}
    places: dict[str, Span] = {}
    for target in context.graph.targets:
        for value in walk([context.graph.target(target)], into_meta=False):
            if isinstance(value, Var) and value.default is MISSING and value.name not in _GIVEN:
                places.setdefault(value.name, value.span)
                needed.setdefault(value.name, []).append(target)
    for name, targets in needed.items():
        plural = "s" if len(targets) > 1 else ""
        message = (
            f"the variable {name!r} has no default; without it the target{plural} {_listed(targets)} cannot be built"
        )
        help = f"give it when building: project({targets[0]!r}, {name}=…), or `!var {{name: {name}, default: …}}`"
        yield context.found("FG0421", message, places[name], help)


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names[:4])) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


# --- reachability -------------------------------------------------------------------------------------------------


def unreachable_nodes(context: ConfigContext) -> Iterator[Finding]:
    """Nodes that a hidden key of the project's own files declares and that no target refers to."""
    assert context.text is not None
    if not isinstance(context.document, yaml.MappingNode) or context.document.tag.startswith("!"):
        return
    hidden = [pair for pair in context.document.value if _is_hidden(pair[0])]
    shown = [part for pair in context.document.value if not _is_hidden(pair[0]) for part in pair]
    reached = {id(node) for part in shown for node in nodes_of(part)}
    for _, value in hidden:
        span = span_of(value, context.text)
        if value.tag.startswith("!") and id(value) not in reached and context.owns(span):
            message = f"no target refers to this {value.tag.split(':')[0]} node"
            yield context.found("FG0422", message, span, "refer to it with an alias, or take it out")


def _is_hidden(key: yaml.Node) -> bool:
    return isinstance(key, yaml.ScalarNode) and key.value.startswith(".")


# --- sharing ------------------------------------------------------------------------------------------------------


def copied_containers(context: ConfigContext) -> Iterator[Finding]:
    """A plain container of nodes that several calls receive: a doubt when its copies hold different objects."""
    assert context.graph is not None
    receivers: dict[int, list[tuple[Call, str | int]]] = {}
    containers: dict[int, Value] = {}
    for call in walk([context.graph.root]):
        if not isinstance(call, Call) or container_tag(call):
            continue
        for key, value in entries(call).items():
            if isinstance(value, (list, dict)) and _holds_nodes(value):
                receivers.setdefault(id(value), []).append((call, key))
                containers[id(value)] = value
    for identity, users in receivers.items():
        if len({id(call) for call, _ in users}) > 1:
            yield _copied(context, containers[identity], users)


def _holds_nodes(value: list[Value] | dict[object, Value]) -> bool:
    return any(isinstance(inner, Call) and not container_tag(inner) for inner in entries(value).values())


def _copied(context: ConfigContext, value: Value, users: list[tuple[Call, str | int]]) -> Finding:
    assert context.graph is not None
    kind = "list" if isinstance(value, list) else "dict"
    first = next(iter(entries(value)))  # where the container is written; its users hold aliases of it
    span = context.graph.spans.get((id(value), first), users[0][0].span)
    names = " and ".join(sorted({each.spec for each, _ in users})[:3])
    message = f"this plain {'list' if kind == 'list' else 'mapping'} of nodes is copied for each of {names}"
    made_anew = any(isinstance(inner, Call) and inner.kind == "factory" for inner in entries(value).values())
    help = f"write !{kind} behind the anchor to share it"
    return context.found("FG0424", message, span, help, severity="warning" if made_anew else "note")
