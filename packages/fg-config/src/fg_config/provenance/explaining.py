"""`explain`: where a value of a config comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from fg_config.changes.run_record import RunRecord
from fg_config.changes.search import paths_ending_in
from fg_config.errors import GraphError
from fg_config.graph import Graph
from fg_config.nodes import Call, Layer, Span, Value, Var
from fg_config.provenance.explanation import Entry, Explanation, Feed, Kind, Origin
from fg_config.provenance.regions import expressions_behind
from fg_config.provenance.replaced import ancestors, replaced_lines
from fg_config.provenance.sites import Sites
from fg_config.provenance.variables import Given, Variables
from fg_config.shown import shown_value
from fg_config.steps import steps_of

if TYPE_CHECKING:
    from fg_config.projects.project import Project
    from fg_config.rendering.facts import ExpressionFact
    from fg_config.rendering.render import CompiledTemplate

_SUGGESTIONS: Final = 5
# The kind of an expression is that of the first of these among the names that fed it.
_PRECEDENCE: Final[tuple[Kind, ...]] = ("dynamic argument", "template variable", "default()", "environment")


def explain(source: Project | RunRecord | Graph, path: str = "") -> Explanation:
    """Explain the value at `path` (empty: the whole config): every line that wrote it, newest first, and why.

    From a `Project` the answer reaches back to expressions, assignments, flags and replaced blocks; from the record of
    a run or a `Graph` alone it names the lines, as they were. Nothing that the config names is imported.
    Raises `GraphError` for a path that does not exist, with the paths that end like it.
    """
    explainer = _Explainer.of(source)
    try:
        explainer.graph.at(path)
    except GraphError as error:
        raise _with_suggestions(explainer.graph, path, error) from None
    return explainer.explain(path)


def lines_that_set(project: Project) -> Callable[[Sequence[Any]], tuple[Span, ...]]:
    """A function from the steps to a value to the assignments that its expression was computed from."""
    explainer = _Explainer.of(project)

    def lines(steps: Sequence[Any]) -> tuple[Span, ...]:
        newest = explainer.graph.origins(steps)[:1]
        feeds = (feed for layer in newest for feed in explainer.feeds(layer, steps[-1] if steps else ""))
        return tuple(dict.fromkeys(_sites(feeds)))

    return lines


def _sites(feeds: Iterable[Feed]) -> Iterator[Span]:
    for feed in feeds:
        if feed.site is not None:
            yield Span(file=feed.site.file, line=feed.site.line)
        yield from _sites(feed.feeds)


class _Explainer:
    def __init__(self, graph: Graph, sites: Sites, variables: Variables | None = None) -> None:
        self.graph = graph
        self.sites = sites
        self.render = sites.render
        self.variables = variables

    @classmethod
    def of(cls, source: Project | RunRecord | Graph) -> _Explainer:
        """What is known about the graph of `source`."""
        if isinstance(source, Graph):
            return cls(source, Sites())
        if isinstance(source, RunRecord):
            return cls(source.graph, Sites(None, source.project_dir, line_text=source.unchanged_line))
        sites = Sites(source.render, source.project_dir, source.search_path)
        return cls(source.graph, sites, Variables(source.render, sites, given_to(source)))

    def explain(self, path: str) -> Explanation:
        value = self.graph.at(path)
        steps = steps_of(path)
        layers = self.graph.origins(path)
        origins = [self._origin(layer, steps[-1] if steps else "", layers[at + 1 :]) for at, layer in enumerate(layers)]
        return Explanation(
            path=path,
            value=Graph(value).to_json(),
            shown=shown_value(value),
            origins=(*origins, *self._replaced(layers, steps)),
            entries=tuple(self._entries(value, steps)),
        )

    def _origin(self, layer: Layer, key: Any, older: tuple[Layer, ...]) -> Origin:
        site = self.sites.at(layer.span)
        merged_at = self.sites.at(layer.merged_at) if layer.merged_at else None
        feeds = self.feeds(layer, key)
        kind = self._kind(layer, key, feeds, older)
        return Origin(kind=kind, site=site, value=shown_value(layer.value), merged_at=merged_at, feeds=feeds)

    def feeds(self, layer: Layer, key: Any) -> tuple[Feed, ...]:
        template = self._template(layer.span)
        if template is None or self.variables is None:
            return ()
        return self.variables.feeds(self._expressions(template, layer, key), template, layer.span.line)

    def _expressions(self, template: CompiledTemplate, layer: Layer, key: Any) -> tuple[ExpressionFact, ...]:
        is_scalar = not isinstance(layer.value, (Call, Var, dict, list, tuple))
        return expressions_behind(template, layer.span, key, is_scalar=is_scalar)

    def _kind(self, layer: Layer, key: Any, feeds: tuple[Feed, ...], older: tuple[Layer, ...]) -> Kind:
        if layer.how != "explicit":
            return layer.how
        sources = set(_sources(feeds))
        found = next((kind for kind in _PRECEDENCE if kind in sources), None)
        if found is not None:
            return found
        template = self._template(layer.span)
        if template is not None and self._expressions(template, layer, key):
            return "expression"
        if not older:
            return "literal" if self.render else "written"
        return "super() then redeclared" if self._came_by_super(older[0], layer) else "redeclared"

    def _came_by_super(self, older: Layer, layer: Layer) -> bool:
        """Whether `older` is what the `super()` of the block around `layer` said: text of a parent, in its place."""
        template, written = self._template(layer.span), self._template(older.span)
        if self.render is None or template is None or older.how != "explicit":
            return False
        block = template.facts.block_at(layer.span.line - template.source.first_line + 1)
        return block is not None and block.calls_super and written in ancestors(self.render, template)

    def _template(self, span: Span) -> CompiledTemplate | None:
        return self.render.template_at(span) if self.render else None

    def _replaced(self, layers: tuple[Layer, ...], steps: list[str | int]) -> Iterator[Origin]:
        seen = {(layer.span.file, layer.span.line) for layer in layers}
        for layer in layers if self.render and steps else ():
            assert self.render is not None
            for template, line in replaced_lines(self.render, layer.span, steps[-1]):
                if (template.source.file, line) not in seen:
                    seen.add((template.source.file, line))
                    yield Origin(kind="replaced block", site=self.sites.of_line(template, line))

    def _entries(self, value: Value, steps: list[str | int]) -> Iterator[Entry]:
        for name, item in self.graph.entries(value).items():
            layers = self.graph.origins([*steps, name])
            if layers:
                kind = self._kind(layers[0], name, self.feeds(layers[0], name), layers[1:])
                yield Entry(name=str(name), value=shown_value(item), kind=kind, site=self.sites.at(layers[0].span))
            else:
                yield Entry(name=str(name), value=shown_value(item))


def given_to(project: Project) -> Given:
    """What the project's config was rendered with."""
    return Given(
        variables=project.template_vars,
        flags={argument.dest: argument.names[0] for argument in project.dynamic_args},
    )


def _sources(feeds: tuple[Feed, ...]) -> Iterator[str]:
    for feed in feeds:
        yield feed.source
        yield from _sources(feed.feeds)


# --- paths that do not exist --------------------------------------------------------------------------------------


def _with_suggestions(graph: Graph, path: str, error: GraphError) -> GraphError:
    """The error of a missing path, naming the paths that end with the same steps (`lr` → `optimizer.lr`)."""
    steps = steps_of(path)
    found = list(paths_ending_in(graph, *steps)) or list(paths_ending_in(graph, *steps[-1:]))
    if not found:
        return error
    more = f" and {len(found) - _SUGGESTIONS} more" if len(found) > _SUGGESTIONS else ""
    help = f"there is {', '.join(found[:_SUGGESTIONS])}{more}"
    return GraphError(error.message, code=error.code, span=error.span, help=help)
