"""Building: from nodes to objects. One build has one cache, so what a config shares is built once and shared."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from fg_config.building.failures import add_note, nested_too_deeply
from fg_config.building.file_modules import without_module_names
from fg_config.building.policy import ImportPolicy, chosen_policy, in_force
from fg_config.building.resolver import resolve
from fg_config.errors import GraphError
from fg_config.graph import Graph
from fg_config.hints import nearest
from fg_config.nodes import Call, Missing, Span, Value, Var
from fg_config.steps import path_text, steps_of
from fg_config.tagged import container_tag

_MOST_ITEMS: Final = 2_000_000  # of plain containers in one build; configs have thousands
_NOTHING: Final[Mapping[str, Any]] = {}


def build(
    graph: Graph,
    targets: Iterable[str],
    *,
    context: Mapping[str, Any] | None = None,
    policy: ImportPolicy | None = None,
    cache: MutableMapping[Call, Any] | None = None,
) -> dict[str, Any]:
    """Build `targets` in the order of the config and return them by name.

    `context` gives the variables (`!var`) their values. Objects are shared within this call only, unless the caller
    passes the same `cache` to several calls. Exceptions of the called objects keep their type and carry a note with
    target path, spec and template line. Raises `UnknownTargetError`, `GraphError`, `PolicyError`.
    """
    wanted = dict.fromkeys(targets)
    for name in wanted:
        graph.target(name)
    builder = Builder(graph, context=context, policy=policy, cache=cache)
    return {name: builder.build_root(graph.target(name), _join("", name)) for name in graph.targets if name in wanted}


def build_value(
    value: Value,
    *,
    context: Mapping[str, Any] | None = None,
    policy: ImportPolicy | None = None,
    cache: MutableMapping[Call, Any] | None = None,
    directory: Path | None = None,
) -> Any:
    """Build one value of a graph."""
    return Builder(Graph(value, directory=directory), context=context, policy=policy, cache=cache).build_root(value)


def run_meta_node(node: Call) -> Any:
    """Call what a `!meta` node names with its arguments unbuilt."""
    return Builder(Graph(node)).apply(node, "")


class Builder:
    """One build: its context, its policy and the objects it has built so far. `graph` holds whatever is built."""

    def __init__(
        self,
        graph: Graph,
        *,
        context: Mapping[str, Any] | None = None,
        policy: ImportPolicy | None = None,
        cache: MutableMapping[Call, Any] | None = None,
    ) -> None:
        self.context = dict(context or _NOTHING)
        self.policy = chosen_policy(policy, graph.directory)
        self.directory = graph.directory
        self._graph = graph
        self._cache = {} if cache is None else cache
        self._items = 0

    def build_root(self, value: Value, path: str = "") -> Any:
        """The object for `value`. Raises `GraphError` when its nodes nest more deeply than Python can call."""
        try:
            return self.build(value, path)
        except RecursionError as error:
            if not nested_too_deeply(error, __file__):
                raise
            span = self._graph.span(path) or getattr(value, "span", None)
            help = "give the inner parts targets of their own and build those first"
            raise GraphError(
                f"{path or 'the value'!r} nests too deeply", code="FG0406", span=span, help=help
            ) from error

    def build(self, value: Value, path: str) -> Any:
        """The object for `value`; `path` is where it stands, for error messages."""
        match value:
            case Call():
                return self._node(value, path)
            case Var():
                return self._variable(value, path)
            case dict():
                self._count(value, path)
                return {key: self.build(item, _join(path, key)) for key, item in value.items()}
            case list():
                self._count(value, path)
                return [self.build(item, _join(path, index)) for index, item in enumerate(value)]
            case tuple():
                self._count(value, path)
                return tuple(self.build(item, _join(path, index)) for index, item in enumerate(value))
        return value

    def _count(self, container: Sized, path: str) -> None:
        """Aliases of plain containers are copies: ten lines of ten aliases would be ten billion items."""
        self._items += len(container)
        if self._items > _MOST_ITEMS:
            message = f"the lists and mappings up to {path!r} have more than {_MOST_ITEMS:,} items"
            help = "aliases of plain containers are copies; `!list` and `!dict` are shared"
            raise GraphError(message, code="FG0413", span=self._graph.span(path), help=help)

    def _node(self, node: Call, path: str) -> Any:
        if node.kind == "partial":
            return Partial(self, node, path)
        if node.kind == "factory":
            return self.apply(node, path)
        if node not in self._cache:
            self._cache[node] = self.apply(node, path)
        return self._cache[node]

    def _variable(self, var: Var, path: str) -> Any:
        if var.name in self.context:
            return self.context[var.name]
        if not isinstance(var.default, Missing):
            return self.build(var.default, _join(path, "default"))
        raise GraphError(
            f"the variable {var.name!r} of {path or 'the config'!r} has no value and no default",
            code="FG0404",
            span=var.span,
            help=nearest(var.name, self.context, "variables given")
            or f"give it when building: project({next(iter(steps_of(path)), '')!r}, {var.name}=…)",
        )

    def apply(self, node: Call, path: str, /, *extra: Any, **overrides: Any) -> Any:
        """Call what `node` names. `extra` follows its positional arguments, `overrides` replace keywords."""
        symbol = self._symbol(node, path)
        if node.kind == "meta":
            args, kwargs, latent = list(node.args), dict(node.kwargs), _NOTHING
        else:
            inside = container_tag(node) is not None  # paths look through the tag
            args = [self.build(item, path if inside else _join(path, index)) for index, item in enumerate(node.args)]
            kwargs = {key: self.build(item, _join(path, key)) for key, item in node.kwargs.items()}
            latent = self._latent(node, path)
        keywords = {**kwargs, **latent, **overrides}
        self._check_arguments(symbol, node, [*args, *extra], keywords)
        self.policy.check_arguments(node.spec, [*args, *extra], keywords, node.span)
        with self._running(node, path, [key for key, value in kwargs.items() if keywords[key] is value]):
            result = symbol(*args, *extra, **keywords)
        self.policy.check_result(node.spec, result, node.span)
        return result

    def _check_arguments(self, symbol: Any, node: Call, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Refuse arguments that do not fit the signature, before anything runs: the line of the config is at fault.

        A `TypeError` from inside the called object is another matter, and keeps its traceback.
        """
        try:
            # A decorator may take keywords that the function it wraps does not have (deprecated ones, say).
            signature = inspect.signature(symbol, follow_wrapped=False)
        except (TypeError, ValueError):  # some builtins have none; the call itself will tell
            return
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            unknown = next((key for key in kwargs if key not in signature.parameters), None)
            place = self._written(node, unknown) if unknown else None
            help = (
                nearest(unknown, signature.parameters, "arguments")
                if unknown
                else f"it takes {without_module_names(str(signature))}"
            )
            message = f"{node.spec}: {error}"
            raise GraphError(message, code="FG0501", span=place or node.span, help=help) from None

    def _latent(self, node: Call, path: str) -> Mapping[str, Any]:
        if node.latent_args is None:
            return {}
        latent = self.build(node.latent_args, _join(path, "latent_args"))
        if not isinstance(latent, Mapping) or not all(isinstance(key, str) for key in latent):
            message = f"latent_args of {path!r} must build to a mapping of keywords, not {latent!r:.60}"
            raise GraphError(message, code="FG0405", span=node.span)
        return latent

    def _symbol(self, node: Call, path: str) -> Any:
        searchpath = self.build(node.submodule_searchpath, _join(path, "submodule_searchpath")) or ()
        with self._running(node, path):
            found = resolve(
                node.spec,
                submodule_searchpath=[searchpath] if isinstance(searchpath, (str, Path)) else searchpath,
                directory=self.directory,
                policy=self.policy,
                span=node.span,
            )
        if not callable(found):
            message = f"{node.spec!r} cannot be called: it is of type {type(found).__name__!r}"
            help = "name a class or a function; a value of a module is had with !call:getattr"
            raise GraphError(message, code="FG0412", span=node.span, help=help)
        return found

    @contextmanager
    def _running(self, node: Call, path: str, keywords: Iterable[str] = ()) -> Iterator[None]:
        """Our policy is current, and an exception leaves with a note about `node`."""
        try:
            with in_force(self.policy, self.directory):
                yield
        except Exception as error:  # whatever the called object raises keeps its type and gains a note
            add_note(error, node, path, keywords, lambda name: self._written(node, name))
            raise

    def _written(self, node: Call, keyword: str) -> Span | None:
        """Where the config gives `keyword` to `node`; None for what the caller or `latent_args` added."""
        return self._graph.spans.get((id(node), keyword))


class Partial:
    """What a `!partial` builds to: a callable that builds its stored arguments when it is called.

    Arguments of the call follow the stored ones; keywords of the call replace them.
    """

    __slots__ = ("_builder", "_node", "_path")

    def __init__(self, builder: Builder, node: Call, path: str) -> None:
        self._builder = builder
        self._node = node
        self._path = path

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self._builder.apply(self._node, self._path, *args, **kwargs)

    def __repr__(self) -> str:
        return f"<partial {self._node.spec} from {self._node.span}>"


def _join(path: str, step: object) -> str:
    """A path as `Graph.at` reads it."""
    text = str(step) if isinstance(step, int) else path_text((step,))
    return f"{path}.{text}" if path else text
