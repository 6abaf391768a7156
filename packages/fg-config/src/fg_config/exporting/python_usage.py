"""What the Python export must know about a tree before it writes the first line: who is shared, named or deferred."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from fg_config.errors import GraphError
from fg_config.exporting.export_yaml import NamePolicy
from fg_config.nodes import MISSING, Call, Var
from fg_config.tagged import tagged_content

MetaRunner: TypeAlias = Callable[[Call], Any]


class Usage:
    """Counts the occurrences of nodes below `root` and finds those that need an assignment of their own."""

    def __init__(self, root: Any, *, policy: NamePolicy, run_meta: MetaRunner | None) -> None:
        self.calls: list[Call] = []
        self.variables: dict[str, list[Var]] = {}
        self.hints: dict[int, str] = {}
        self.meta_results: dict[int, Any] = {}
        self._policy = policy
        self._run_meta = run_meta
        self._occurrences: Counter[int] = Counter()
        self._fresh: dict[int, bool] = {}
        self._visit(root, None)
        self._hoisted: set[int] = set()
        self._searched: set[int] = set()
        for node in self.calls:
            if self._is_deferred(node) and self.is_lambda(node):
                for value in self._inside(node):
                    self._hoist(value)

    def is_named(self, node: Call) -> bool:
        """Whether the node becomes an assignment."""
        if self._occurrences[id(node)] > 1 or id(node) in self._hoisted or self._policy == "all":
            return True
        return self._policy == "named" and bool(node.name)

    def is_lambda(self, node: Call) -> bool:
        """Whether a deferred node must evaluate its arguments at every use, which `functools.partial` does not."""
        if node.kind != "factory":
            return any(self._is_fresh(value) for value in self._inside(node))
        if tagged_content(node) is not None:
            return True
        return any(self._is_fresh(value) or _holds_container(value) for value in self._inside(node))

    def is_required(self, name: str) -> bool:
        """Whether some use of the variable has no default (then building without a value fails too)."""
        return any(var.default is MISSING for var in self.variables[name])

    def is_conditional(self, name: str) -> bool:
        """Whether the default cannot stand in the signature: it is built, or differs from use to use."""
        if self.is_required(name):
            return False
        defaults = [var.default for var in self.variables[name]]
        return not _is_scalar(defaults[0]) or len({(type(each), repr(each)) for each in defaults}) > 1

    # --- the walk ---

    def _visit(self, value: Any, hint: str | None) -> None:
        match value:
            case Call():
                self._visit_call(value, hint)
            case Var():
                self.variables.setdefault(value.name, []).append(value)
                if value.default is not MISSING:
                    self._visit(value.default, hint)
            case dict() | list() | tuple():
                # A container is copied at every use, so its nodes are met again; the second time settles "shared".
                self._occurrences[id(value)] += 1
                if self._occurrences[id(value)] <= 2:
                    for key, item in value.items() if isinstance(value, dict) else ((None, item) for item in value):
                        self._visit(item, key if isinstance(key, str) else None)

    def _visit_call(self, node: Call, hint: str | None) -> None:
        self._occurrences[id(node)] += 1
        if self._occurrences[id(node)] > 1:
            return
        self.calls.append(node)
        if hint:
            self.hints[id(node)] = hint
        if node.kind == "meta":
            self.meta_results[id(node)] = self._meta_result(node)
            self._visit(self.meta_results[id(node)], hint)
            return
        for value in node.args:
            self._visit(value, None)
        for key, value in node.kwargs.items():
            self._visit(value, key)
        self._visit(node.latent_args, None)

    def _meta_result(self, node: Call) -> Any:
        if self._run_meta is None:
            raise GraphError(
                f"writing the !meta node {node.spec!r} as Python would run it",
                span=node.span,
                help="`code` runs meta nodes; `graph --format yaml` shows them without running anything",
            )
        return self._run_meta(node)

    # --- what is built anew ---

    def _is_deferred(self, node: Call) -> bool:
        return node.kind == "partial" or (node.kind == "factory" and self.is_named(node))

    def _is_fresh(self, value: Any) -> bool:
        """Whether an expression for `value` makes new objects each time, beyond plain containers."""
        if isinstance(value, Call):
            return value.kind == "factory"
        if id(value) not in self._fresh:
            self._fresh[id(value)] = any(self._is_fresh(inner) for inner in self._inside(value))
        return self._fresh[id(value)]

    def _hoist(self, value: Any) -> None:
        """Name the singletons inside an expression that is evaluated many times."""
        if isinstance(value, Call):
            if value.kind in ("call", "meta"):
                self._hoisted.add(id(value))
                return
            if self.is_named(value):
                return
        if id(value) in self._searched:  # aliases of aliases meet the same containers again and again
            return
        self._searched.add(id(value))
        for inner in self._inside(value):
            self._hoist(inner)

    def _inside(self, value: Any) -> Iterator[Any]:
        match value:
            case Call(kind="meta"):
                yield self.meta_results[id(value)]
            case Call():
                yield from (*value.args, *value.kwargs.values(), value.latent_args)
            case Var():
                yield value.default
            case dict():
                yield from value.values()
            case list() | tuple():
                yield from value


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))


def _holds_container(value: Any) -> bool:
    return isinstance(value, (list, dict)) or (
        isinstance(value, tuple) and any(_holds_container(each) for each in value)
    )
