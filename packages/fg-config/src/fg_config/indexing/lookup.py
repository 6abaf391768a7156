"""Questions of an editor to the index: where is it defined, who uses it, what may stand here, what is it."""

from __future__ import annotations

from collections.abc import Iterator

from fg_config.graph import Graph
from fg_config.indexing.occurrences import Occurrence, SymbolKind
from fg_config.indexing.project_index import ProjectIndex
from fg_config.nodes import Span
from fg_config.shown import shown_value
from fg_config.steps import path_text
from fg_config.walking import Steps, holders


def occurrence_at(index: ProjectIndex, file: str, line: int, column: int = 0) -> Occurrence | None:
    """The name at a place (from 1). Of several the one with the nearest column before it."""
    found = [each for each in index.occurrences if each.covers(file, line, column)]
    return max(found, key=lambda each: (each.span.column, len(each.name)), default=None)


def definition_of(index: ProjectIndex, file: str, line: int, column: int = 0) -> list[Span]:
    """Where the name at a place is defined; empty for a name that nothing here defines (an import spec)."""
    at = occurrence_at(index, file, line, column)
    if at is None:
        return []
    if at.kind == "block":
        return [each.span for each in _blocks_above(index, at.template) if each.name == at.name] or [at.span]
    if at.kind == "anchor":
        return _distinct(each for each in _same_configs(index, at) if each.defines)
    return _nearest(at, [each for each in index.named(at.kind, at.name) if each.defines])


def references_of(index: ProjectIndex, kind: SymbolKind, name: str) -> list[Span]:
    """Every place that a name stands at, definitions first, each once."""
    found = index.named(kind, name)
    return _distinct(sorted(found, key=lambda each: not each.defines))


def blocks_of_parents(index: ProjectIndex, template: str) -> dict[str, Span]:
    """The blocks that `template` can override, with the place where the nearest parent has each."""
    blocks: dict[str, Span] = {}
    for each in _blocks_above(index, template):
        blocks.setdefault(each.name, each.span)
    return blocks


def completions(index: ProjectIndex, kind: SymbolKind, prefix: str = "", template: str | None = None) -> list[str]:
    """The names that may stand at a place: for blocks those of the parents of `template`, else all of the kind."""
    if kind == "block" and template is not None:
        names = list(blocks_of_parents(index, template))
    else:
        names = [each.name for each in index.named(kind) if each.defines or kind == "spec"]
    return sorted({name for name in names if name.startswith(prefix)})


def hover(index: ProjectIndex, file: str, line: int, config: str) -> str | None:
    """What the value that a line writes finally is in `config`, and who wrote it; None for a line that writes none."""
    context = index.contexts.get(config)
    if context is None or context.graph is None:
        return None
    steps = next(_paths_at(context.graph, file, line), None)
    if steps is None:
        return None
    value, layers = context.graph.at(steps), context.graph.origins(steps)
    head = f"{path_text(steps)} = {shown_value(value)}"
    return "\n".join([head, *(f"{layer.span}: {shown_value(layer.value)}" for layer in layers)])


# --- inside -------------------------------------------------------------------------------------------------------


def _blocks_above(index: ProjectIndex, template: str) -> Iterator[Occurrence]:
    """The blocks of the parents, nearest first."""
    blocks = index.named("block")
    for ancestor in index.ancestors(template):
        yield from (each for each in blocks if each.template == ancestor)


def _same_configs(index: ProjectIndex, at: Occurrence) -> list[Occurrence]:
    """The occurrences of an anchor in the configs that show it at this place."""
    same = index.named(at.kind, at.name)
    configs = {each.config for each in same if each.span == at.span}
    return [each for each in same if each.config in configs]


def _nearest(at: Occurrence, found: list[Occurrence]) -> list[Span]:
    """Those in the same file when there are any: a label of another file may have the same name."""
    return _distinct([each for each in found if each.span.file == at.span.file] or found)


def _distinct(found: Iterator[Occurrence] | list[Occurrence]) -> list[Span]:
    return list(dict.fromkeys(each.span for each in found))


def _paths_at(graph: Graph, file: str, line: int) -> Iterator[Steps]:
    """The paths whose value some layer wrote at a line, the shallowest first."""
    for steps, inside in holders(graph):
        for path in ((*steps, key) for key in inside):
            if any((layer.span.file, layer.span.line) == (file, line) for layer in graph.origins(path)):
                yield path
