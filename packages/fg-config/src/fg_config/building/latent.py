"""Nodes as callables and configs as mappings with attribute access: `graph.main(context_vars={…})`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fg_config.building.builder import Builder, Partial, build
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

    __slots__ = ("graph", "node")

    def __init__(self, graph: Graph, node: Call) -> None:
        self.graph = graph
        self.node = node

    def __call__(self, /, *args: Any, context_vars: Mapping[str, Any] | None = None, **kwargs: Any) -> Any:
        builder = Builder(context=context_vars, directory=self.graph.directory)
        if args or kwargs or self.node.kind == "partial":
            return builder.apply(self.node, "", *args, **kwargs)
        return builder.build(self.node, "")

    def __repr__(self) -> str:
        return f"<latent {self.node.kind} {self.node.spec} from {self.node.span}>"

    @staticmethod
    def materialize(
        config: Any, mtargets: str | Sequence[str] | None = None, context_vars: Mapping[str, Any] | None = None
    ) -> Any:
        """Build a graph, a config, a node or a value.

        `mtargets` selects targets: a string gives the object, a list a `DotDict`. Without it everything is built.
        """
        graph, value = _unwrap(config)
        if isinstance(mtargets, str):
            return build(graph, [mtargets], context=context_vars)[mtargets]
        if mtargets is not None:
            return DotDict(build(graph, mtargets, context=context_vars))
        built = Builder(context=context_vars, directory=graph.directory).build(value, "")
        return built() if isinstance(built, Partial) else built


class ConfigMapping(Mapping[str, Any]):
    """The targets of a config by name and by attribute. Nodes come as `Latent`."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def __getitem__(self, name: str) -> Any:
        return _wrapped(self.graph, self.graph.target(name))

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


def config_view(graph: Graph) -> Any:
    """The root of `graph` for interactive use: targets by attribute, nodes as callables."""
    return ConfigMapping(graph) if isinstance(graph.root, dict) else _wrapped(graph, graph.root)


def _wrapped(graph: Graph, value: Value) -> Any:
    return Latent(graph, value) if isinstance(value, Call) else value


def _unwrap(config: Any) -> tuple[Graph, Value]:
    match config:
        case Graph():
            return config, config.root
        case ConfigMapping():
            return config.graph, config.graph.root
        case Latent():
            return config.graph, config.node
    return Graph(config), config
