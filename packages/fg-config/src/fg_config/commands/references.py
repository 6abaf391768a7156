"""What `trefs` prints: the templates that a render loaded, who asked for them, and how."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fg_config.nodes import Statement
from fg_config.rendering.render import CompiledTemplate, Render


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """`asker` extends, includes or imports `name`; the first template of a render has no asker."""

    name: str
    file: str
    asker: str | None
    kind: Statement | None


def references(render: Render) -> list[Reference]:
    """Every pair of template and asker once, in the order of loading."""
    first = next(iter(render.loaded.values()))
    found = [Reference(name=first.source.name, file=first.source.file, asker=None, kind=None)]
    for name, number in render.requests:
        target = render.by_name.get(name)
        if target is None:
            continue  # an include that tolerates missing templates
        asker = render.loaded[number]
        file = render.loaded[target].source.file
        found.append(Reference(name=name, file=file, asker=asker.source.name, kind=_kind(render, asker, name)))
    return list(dict.fromkeys(found))


def _kind(render: Render, asker: CompiledTemplate, name: str) -> Statement:
    written = [reference.kind for reference in asker.facts.references if reference.target == name]
    if written:
        return written[0]
    parent = render.parent_of(asker)
    return "extends" if parent is not None and parent.source.name == name else "include"


def reference_text(found: list[Reference], form: str) -> str:
    """The references as `files`, `tree`, `md`, `dot`, `svg` or `json`."""
    forms: dict[str, Callable[[list[Reference]], str]] = {
        "files": lambda rows: "\n".join(dict.fromkeys(row.file for row in rows)),
        "tree": _tree,
        "md": _markdown,
        "dot": _dot,
        "svg": _svg,
        "json": _json,
    }
    return forms[form](found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    reference: Reference
    depth: int
    again: bool


def _rows(found: list[Reference]) -> Iterator[_Row]:
    """Depth first; a template whose own references were shown already is marked, not unfolded again."""
    asked: dict[str | None, list[Reference]] = {}
    for reference in found:
        asked.setdefault(reference.asker, []).append(reference)
    shown: set[str] = set()

    def walk(reference: Reference, depth: int) -> Iterator[_Row]:
        again = reference.name in shown and reference.name in asked
        yield _Row(reference=reference, depth=depth, again=again)
        shown.add(reference.name)
        for child in () if again else asked.get(reference.name, ()):
            yield from walk(child, depth + 1)

    yield from walk(found[0], 0)


def _tree(found: list[Reference]) -> str:
    return "\n".join(
        f"{'    ' * row.depth}{row.reference.name}{' (see above)' if row.again else ''}" for row in _rows(found)
    )


def _markdown(found: list[Reference]) -> str:
    lines = []
    for row in _rows(found):
        how = f"{row.reference.kind} " if row.reference.kind else ""
        place = "see above" if row.again else f"`{row.reference.file}`"
        lines.append(f"{'    ' * row.depth}- {how}**{row.reference.name}** ({place})")
    return "\n".join(lines)


def _dot(found: list[Reference]) -> str:
    quoted = json.dumps
    names = dict.fromkeys(row.name for row in found)
    style = {"extends": "", "include": " [style=dashed]", "import": " [style=dashed]"}
    edges = [
        f"    {quoted(row.asker)} -> {quoted(row.name)}{style[row.kind]};" for row in found if row.asker and row.kind
    ]
    head = ["digraph templates {", "    node [shape=box];"]
    return "\n".join([*head, *(f"    {quoted(name)};" for name in names), *dict.fromkeys(edges), "}"])


def _svg(found: list[Reference]) -> str:
    from fg_config.diagrams.svg import Box, Link, draw

    boxes = {row.name: Box(name=row.name, note=row.file) for row in found}
    links = [Link(source=row.asker, target=row.name, dashed=row.kind != "extends") for row in found if row.asker]
    return draw(list(boxes.values()), links, legend={"extends": False, "includes or imports": True})


def _json(found: list[Reference]) -> str:
    rows = [{"name": row.name, "file": row.file, "used_by": row.asker, "kind": row.kind} for row in found]
    return json.dumps(rows, indent=2, ensure_ascii=False)
