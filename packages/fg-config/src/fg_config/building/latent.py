"""Nodes as callables and configs as mappings with attribute access: `graph.main(context_vars={…})`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from fg_config.building.builder import Builder, Partial, build, build_value
from fg_config.building.policy import ImportPolicy
from fg_config.errors import UnknownTargetError
from fg_config.graph import Graph
from fg_config.nodes import Call, Value


class DotDict(dict[str, Any]):
    """A dict whose entries are attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(f"no entry {name!r}; there are: {', '.join(map(str, self))}") from error


class Latent:
    """A node that builds itself when it is called; every call is a build of its own."""

    __slots__ = ("graph", "node", "policy")

    def __init__(self, graph: Graph, node: Call, policy: ImportPolicy | None = None) -> None:
        self.graph = graph
        self.node = node
        self.policy = policy

    def __call__(self, /, *args: Any, context_vars: Mapping[str, Any] | None = None, **kwargs: Any) -> Any:
        graph = dataclasses.replace(self.graph, root=self.node)
        builder = Builder(graph, context=context_vars, policy=self.policy)
        if args or kwargs or self.node.kind == "partial":
            return builder.apply(self.node, "", *args, **kwargs)
        return builder.build_root(self.node)

    def __repr__(self) -> str:
        return f"<latent {self.node.kind} {self.node.spec} from {self.node.span}>"

    @staticmethod
    def materialize(
        config: Any, mtargets: str | Sequence[str] | None = None, context_vars: Mapping[str, Any] | None = None
    ) -> Any:
        """Build a graph, a config, a node or a value.

        `mtargets` selects targets: a string gives the object, a list a `DotDict`. Without it everything is built.
        """
        graph, value, policy = _unwrap(config)
        if isinstance(mtargets, str):
            return build(graph, [mtargets], context=context_vars, policy=policy)[mtargets]
        if mtargets is not None:
            return DotDict(build(graph, mtargets, context=context_vars, policy=policy))
        built = build_value(value, context=context_vars, policy=policy, directory=graph.directory)
        return built() if isinstance(built, Partial) else built


class ConfigMapping(Mapping[str, Any]):
    """The targets of a config by name and by attribute. Nodes come as `Latent`, also those inside of containers."""

    def __init__(self, graph: Graph, policy: ImportPolicy | None = None) -> None:
        self.graph = graph
        self.policy = policy

    def __getitem__(self, name: str) -> Any:
        return _wrapped(self.graph, self.graph.target(name), self.policy)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except UnknownTargetError as error:
            raise AttributeError(str(error)) from error

    def __iter__(self) -> Iterator[str]:
        return iter(self.graph.targets)

    def __len__(self) -> int:
        return len(self.graph.targets)

    def __repr__(self) -> str:
        return f"<config with targets {', '.join(self.graph.targets)}>"


def config_view(graph: Graph, policy: ImportPolicy | None = None) -> Any:
    """The root of `graph` for interactive use: targets by attribute, nodes as callables, which build under `policy`."""
    return ConfigMapping(graph, policy) if isinstance(graph.root, dict) else _wrapped(graph, graph.root, policy)


def _wrapped(graph: Graph, value: Value, policy: ImportPolicy | None) -> Any:
    """`value` with its nodes as `Latent`, in containers of its own."""
    return _replaced(value, lambda each: Latent(graph, each, policy) if isinstance(each, Call) else each, {})


def _replaced(value: Any, change: Callable[[Any], Any], known: dict[int, Any]) -> Any:
    """A copy of plain containers with what they hold changed; what is shared stays so."""
    if id(value) not in known:
        match value:
            case dict():
                new = DotDict({key: _replaced(item, change, known) for key, item in value.items()})
            case list():
                new = [_replaced(item, change, known) for item in value]
            case tuple():
                new = tuple(_replaced(item, change, known) for item in value)
            case _:
                return change(value)
        known[id(value)] = new
    return known[id(value)]


def _unwrap(config: Any) -> tuple[Graph, Value, ImportPolicy | None]:
    match config:
        case Graph():
            return config, config.root, None
        case ConfigMapping():
            return config.graph, config.graph.root, config.policy
    latents: list[Latent] = []

    def node(value: Any) -> Any:
        if not isinstance(value, Latent):
            return value
        latents.append(value)
        return value.node

    value = _replaced(config, node, {})
    if not latents:
        return Graph(config), config, None
    return dataclasses.replace(latents[0].graph, root=value), value, latents[0].policy
