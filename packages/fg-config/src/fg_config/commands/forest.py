"""Who extends whom among all templates of a search path. Nothing is rendered: the syntax tells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fg_config.errors import TemplateError
from fg_config.projects.catalog import TemplateFile
from fg_config.rendering.render import compile_template
from fg_config.rendering.source import TemplateSource, read_source


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """A template or sub-template and what it extends; `problem` is why its text cannot be read."""

    name: str
    file: TemplateFile
    line: int
    parents: tuple[str, ...] = ()
    computed: bool = False
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        fields = ("name", "line", "computed", "problem")
        return {**{field: getattr(self, field) for field in fields}, "extends": list(self.parents)}


def lineages(files: Iterable[TemplateFile]) -> Iterator[Lineage]:
    """The templates in `files`, each file's own first and then its sub-templates."""
    for file in files:
        try:
            parts = read_source(file.name, file.file)
        except TemplateError as error:
            yield Lineage(name=file.name, file=file, line=1, problem=error.message)
            continue
        yield from (_lineage(part, file) for part in parts)


def _lineage(source: TemplateSource, file: TemplateFile) -> Lineage:
    line = source.first_line
    try:
        facts = compile_template(source).facts
    except TemplateError as error:
        return Lineage(name=source.name, file=file, line=line, problem=error.message)
    targets = [reference.target for reference in facts.references if reference.kind == "extends"]
    known = tuple(target for target in targets if target is not None)
    return Lineage(name=source.name, file=file, line=line, parents=known, computed=None in targets)


def forest_markdown(files: Iterable[TemplateFile]) -> str:
    """A nested list below each root; a root is a template that extends nothing that is known here."""
    found = list(lineages(files))
    names = {each.name for each in found}
    children: dict[str, list[Lineage]] = {}
    roots = []
    for each in found:
        known = [parent for parent in each.parents if parent in names]
        for parent in known:
            children.setdefault(parent, []).append(each)
        if not known:
            roots.append(each)
    shown: set[str] = set()
    lines = [line for root in roots for line in _branch(root, children, (), shown)]
    circular = [each for each in found if each.name not in shown]  # they extend each other and hang below no root
    lines += [line for each in circular if each.name not in shown for line in _branch(each, children, (), shown)]
    return "\n".join(["# Templates", "", *lines])


def _branch(
    lineage: Lineage, children: dict[str, list[Lineage]], above: tuple[str, ...], shown: set[str]
) -> Iterator[str]:
    shown.add(lineage.name)
    yield f"{'    ' * len(above)}- **{lineage.name}** ({_notes(lineage)})"
    for child in children.get(lineage.name, ()):
        if child.name not in above:
            yield from _branch(child, children, (*above, lineage.name), shown)


def _notes(lineage: Lineage) -> str:
    place = f"{lineage.file.place.title}, `{lineage.file.name}`"
    notes = [place if lineage.name == lineage.file.name else f"{place}:{lineage.line}"]
    if lineage.computed:
        notes.append("extends a name that is computed")
    if lineage.problem is not None:
        notes.append(f"cannot be read: {lineage.problem}")
    return "; ".join(notes)
