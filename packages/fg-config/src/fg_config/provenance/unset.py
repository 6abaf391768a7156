"""What a config leaves to the callables it names: parameters that it does not set, with their defaults."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fg_config.graph import Graph, entries
from fg_config.nodes import Call, Span, Value, Var
from fg_config.steps import path_text, steps_of
from fg_config.tagged import untagged

if TYPE_CHECKING:
    from fg_config.building.policy import ImportPolicy
    from fg_config.building.signatures import Signature, SignatureFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsetParameters:
    """A node, and each parameter of its callable that the config does not set, with the text of its default.

    `failure` says why nothing is known of the callable.
    """

    path: str
    spec: str
    span: Span
    parameters: tuple[tuple[str, str], ...] = ()
    failure: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            "path": self.path,
            "spec": self.spec,
            "file": self.span.file,
            "line": self.span.line,
            "parameters": dict(self.parameters),
            "failure": self.failure,
        }


def unset_parameters(graph: Graph, path: str = "", *, policy: ImportPolicy | None = None) -> list[UnsetParameters]:
    """The callable defaults of every node at and below `path`, each node once.

    The callables are imported by a child process under `policy`; this process imports nothing. Raises `GraphError`
    for a path that does not exist.
    """
    from fg_config.building.signatures import requests_of, signatures_of

    nodes = list(calls_below(graph, path))
    requests = requests_of((call.spec, call.submodule_searchpath) for _, call in nodes)
    signatures = signatures_of(requests, policy, graph.directory or Path.cwd())
    return [_unset(where, call, signatures[call.spec]) for where, call in nodes]


def calls_below(graph: Graph, path: str) -> Iterator[tuple[str, Call]]:
    """Every node that calls something, by its first path in the order of the config."""
    todo: list[tuple[Sequence[Any], Value]] = [(steps_of(path), graph.at(path))]
    seen: set[int] = set()
    while todo:
        steps, value = todo.pop()
        if id(value) in seen or not isinstance(value, (Call, Var, dict, list, tuple)):
            continue
        seen.add(id(value))
        content = untagged(value)
        if isinstance(content, Call):
            yield path_text(steps), content
        inner = entries(content)
        todo += [([*steps, key], item) for key, item in reversed(inner.items())]


def _unset(path: str, call: Call, signature: Signature | SignatureFailure) -> UnsetParameters:
    from fg_config.building.signatures import SignatureFailure

    if isinstance(signature, SignatureFailure):
        return UnsetParameters(path=path, spec=call.spec, span=call.span, failure=signature.message)
    by_position = {each.name for each in signature.positional[: len(call.args)]}
    open_parameters = tuple(
        (each.name, each.default_text or "…")
        for each in signature.parameters
        if each.has_default and each.name not in call.kwargs and each.name not in by_position
    )
    return UnsetParameters(path=path, spec=call.spec, span=call.span, parameters=open_parameters)


def unset_text(found: Sequence[UnsetParameters]) -> str:
    """A paragraph per node that leaves something to its callable, or whose callable cannot be looked at."""
    lines: list[str] = []
    for node in found:
        if node.failure:
            lines.append(f"{node.path or 'the config'}: {node.spec}\n    not known: {node.failure}")
        elif node.parameters:
            width = max(len(name) for name, _ in node.parameters)
            lines.append(f"{node.path or 'the config'}: {node.spec}")
            lines += [f"    {name:<{width}} = {default}" for name, default in node.parameters]
    return "\n".join(lines) or "every parameter is set"
