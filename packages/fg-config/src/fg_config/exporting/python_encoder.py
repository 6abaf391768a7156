"""Nodes as Python expressions and assignments.

Named and shared nodes become local assignments, children first:

    !call          x = Symbol(…)                   built once, used as `x`
    !factory       x = partial(Symbol, …)          used as `x()`; without a name it is written in place
    !partial       partial(Symbol, …)              or just `Symbol` when there are no arguments
    !var           a parameter of the function
    !meta          run, and its result is written

What is built anew at each use stays so: a factory or partial that holds factories becomes a `lambda`, and the
singletons inside it are assigned before it. One difference to building remains: the other arguments of a partial are
evaluated once, where it is defined.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sized
from itertools import groupby
from typing import Any, Final, cast

from fg_config.errors import GraphError
from fg_config.exporting.export_yaml import NamePolicy
from fg_config.exporting.python_symbols import HELPERS, Symbols
from fg_config.exporting.python_text import (
    Doc,
    Group,
    Namespace,
    call,
    flat,
    is_name,
    layout,
    parenthesised,
    snake_case,
    string,
)
from fg_config.exporting.python_usage import MetaRunner, Usage
from fg_config.nodes import Call, Value, Var
from fg_config.tagged import tagged_content

_METHODS: Final = ("items", "keys", "values")
# What the text around the code may use itself.
_RESERVED: Final = ("self", "cls", "args", "kwargs", "resolve", "ImportPolicy")
_NUMBERS: Final = (bool, int, float)
_MOST_ITEMS: Final = 200_000  # of plain containers in one source file; configs have thousands


class SourceText(str):
    """Python source; `repr` gives the same text, so that templates may print it either way."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Encoder:
    """Encodes values of one tree; `definitions` grows by the assignments that the expressions rely on."""

    def __init__(
        self, root: Any, *, policy: NamePolicy, run_meta: MetaRunner | None, alias: Callable[[str], str]
    ) -> None:
        self.definitions: list[str] = []
        self._usage = Usage(root, policy=policy, run_meta=run_meta)
        names = Namespace(set(_RESERVED))
        self._parameters = {name: names.claim(name, f"{name}_") for name in sorted(self._usage.variables)}
        self.symbols = Symbols(names, alias)
        for node in self._usage.calls:
            if node.kind != "meta" and node.spec not in HELPERS:
                self.symbols.of(node)
        self._locals = self._claim_locals(names)
        self._defined: set[int] = set()
        self._items = 0

    def _claim_locals(self, names: Namespace) -> dict[int, str]:
        """Local names: explicit ones first, so that a guessed name never takes them."""
        named = [node for node in self._usage.calls if self._usage.is_named(node)]
        claimed = {id(node): names.claim_local(node.name) for node in named if node.name}
        for node in named:
            if id(node) not in claimed:
                claimed[id(node)] = names.claim_local(self._usage.hints.get(id(node)) or _instance_name(node))
        return claimed

    def variables(self) -> list[tuple[str, bool, SourceText | None]]:
        """Parameters as `(name, has_default, default source)`: required ones first, then by name."""
        triples = [(self._parameters[name], *self._default(name)) for name in self._parameters]
        return sorted(triples, key=lambda triple: (triple[1], triple[0]))

    def _default(self, name: str) -> tuple[bool, SourceText | None]:
        if self._usage.is_required(name):
            return False, None
        if self._usage.is_conditional(name):
            return True, SourceText("...")
        return True, SourceText(flat(self.encode(cast("Value", self._usage.variables[name][0].default))))

    # --- expressions ---

    def encode(self, value: Any) -> Doc:
        """The expression for one occurrence of `value`."""
        match value:
            case Call():
                return self._occurrence(value)
            case Var():
                return self._variable(value)
            case dict():
                self._count(value)
                return (Group("{", tuple(self._pairs(value)), "}"),)
            case list():
                self._count(value)
                return (Group("[", self._all(value), "]"),)
            case tuple():
                self._count(value)
                return (Group("(", self._all(value), ")", single_needs_separator=True),)
            case None | bool() | int():
                return (repr(value),)
            case float():
                return self._float(value)
            case str():
                return string(value)
        raise GraphError(
            f"a value of type {type(value).__name__} cannot be written as Python source: {value!r}",
            help="source can hold null, bool, int, float, str, containers of them, and nodes",
        )

    def _count(self, container: Sized) -> None:
        """A plain container is written out at every alias: ten lines of ten aliases would be ten billion items."""
        self._items += len(container)
        if self._items > _MOST_ITEMS:
            message = f"the lists and mappings to be written have more than {_MOST_ITEMS:,} items"
            help = "aliases of plain containers are copies; `!list` and `!dict` are written once"
            raise GraphError(message, code="FG0408", help=help)

    def _all(self, values: list[Any] | tuple[Any, ...]) -> tuple[Doc, ...]:
        return tuple(self.encode(value) for value in values)

    def _pairs(self, items: Mapping[Any, Any]) -> Iterator[Doc]:
        for key, value in items.items():
            yield (*self.encode(key), ": ", *self.encode(value))

    def _float(self, value: float) -> Doc:
        if math.isnan(value):
            return (self.symbols.imported("math", "nan"),)
        if math.isinf(value):
            return (("" if value > 0 else "-") + self.symbols.imported("math", "inf"),)
        return (repr(value),)

    def _variable(self, var: Var) -> Doc:
        name = self._parameters[var.name]
        if not self._usage.is_conditional(var.name):
            return (name,)
        return parenthesised((*self.encode(var.default), f" if {name} is ... else {name}"))

    def _operand(self, value: Any) -> Doc:
        """An expression that something is attached to: `x.a`, `x[k]`, `x()`."""
        doc = self.encode(value)
        first = doc[0]
        bare = isinstance(first, str) and first.startswith("lambda")
        return parenthesised(doc) if bare or isinstance(value, _NUMBERS) else doc

    # --- nodes ---

    def _occurrence(self, node: Call) -> Doc:
        name = self._locals.get(id(node))
        if name is None:
            return self._in_place(node)
        if id(node) not in self._defined:
            self._defined.add(id(node))
            doc = self._deferred(node) if node.kind == "factory" else self._in_place(node)
            self.definitions.append(f"{name} = {layout(doc, prefix=len(name) + 3)}")
        return (name, "()") if node.kind == "factory" else (name,)

    def _in_place(self, node: Call) -> Doc:
        if node.kind == "meta":
            return self.encode(self._usage.meta_results[id(node)])
        return self._deferred(node) if node.kind == "partial" else self._applied(node)

    def _applied(self, node: Call) -> Doc:
        """The node's value: its symbol called with its arguments, or the syntax Python has for it."""
        content = tagged_content(node)
        if content is not None:
            return self.encode(content)
        match node.spec, node.args:
            case "getattr", (thing, str(attribute)) if not _has_keywords(node) and is_name(attribute):
                return (*self._operand(thing), f".{attribute}")
            case "getitem", (thing, key) if not _has_keywords(node):
                return (*self._operand(thing), Group("[", (self.encode(key),), "]", separator=""))
            case "call", (function, *args):
                return (*self._operand(function), Group("(", tuple(self._arguments(node, args)), ")"))
            case method, (thing,) if method in _METHODS and not _has_keywords(node):
                return (*self._operand(thing), f".{method}()")
        return (*self._function(node), Group("(", tuple(self._arguments(node, node.args)), ")"))

    def _deferred(self, node: Call) -> Doc:
        """A callable that applies the node when it is called."""
        if self._usage.is_lambda(node):
            return ("lambda: ", *self._applied(node)) if node.kind == "factory" else self._lambda(node)
        function = self._function(node)
        arguments = [*self._arguments(node, node.args)]
        return call(self.symbols.imported("functools", "partial"), [function, *arguments]) if arguments else function

    def _lambda(self, node: Call) -> Doc:
        """`partial` for arguments that must be built at every call; the caller's keywords win, as in `partial`."""
        positional = [*self._all(node.args), ("*args",)]
        stored = [*self._keyword_pairs(node), ("**kwargs",)]
        keywords: Doc = ("**", Group("{", tuple(stored), "}")) if len(stored) > 1 else ("**kwargs",)
        return ("lambda *args, **kwargs: ", *self._function(node), Group("(", (*positional, keywords), ")"))

    def _function(self, node: Call) -> Doc:
        match node.spec:
            case "getitem" | "call":
                return (self.symbols.imported("operator", node.spec),)
            case "items" | "keys" | "values":
                return call(self.symbols.imported("operator", "methodcaller"), [(repr(node.spec),)])
            case "named_list" | "named_tuple" | "named_dict":
                return (self.symbols.imported("builtins", node.spec.removeprefix("named_")),)
        return (self.symbols.of(node),)

    # --- arguments ---

    def _arguments(self, node: Call, args: list[Any] | tuple[Any, ...]) -> Iterator[Doc]:
        yield from self._all(args)
        keywords = _merged_keywords(node)
        if keywords is None:
            yield ("**", *self._keyword_mapping(node))
            return
        for named, pairs in groupby(keywords.items(), key=lambda pair: is_name(pair[0])):
            if named:
                yield from ((f"{key}=", *self.encode(value)) for key, value in pairs)
            else:
                yield ("**", *self.encode(dict(pairs)))

    def _keyword_mapping(self, node: Call) -> Doc:
        if not node.kwargs:
            return self._operand(node.latent_args)
        return (Group("{", tuple(self._keyword_pairs(node)), "}"),)

    def _keyword_pairs(self, node: Call) -> Iterator[Doc]:
        keywords = _merged_keywords(node)
        yield from self._pairs(node.kwargs if keywords is None else keywords)
        if keywords is None:
            yield ("**", *self._operand(node.latent_args))


def _merged_keywords(node: Call) -> dict[str, Any] | None:
    """All keywords of the node, or None when latent arguments are only known when the code runs."""
    if node.latent_args is None:
        return dict(node.kwargs)
    if isinstance(node.latent_args, dict) and all(isinstance(key, str) for key in node.latent_args):
        return {**node.kwargs, **node.latent_args}
    return None


def _has_keywords(node: Call) -> bool:
    return bool(node.kwargs) or node.latent_args is not None


def _instance_name(node: Call) -> str:
    return snake_case(node.spec.rpartition(":")[2].rpartition(".")[2])
