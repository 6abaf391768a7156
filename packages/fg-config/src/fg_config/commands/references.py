"""What `trefs` prints: the templates that a render loaded, and who asked for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from fg_config.projects.project import Project
from fg_config.rendering.render import TemplateUse


def template_references(project: Project, form: str) -> str:
    """The templates that rendering the config loaded, as `files`, `tree`, `dot` or `json`."""
    used = project.templates_used
    render: dict[str, Callable[[Sequence[TemplateUse]], str]] = {
        "files": lambda rows: "\n".join(dict.fromkeys(file for _, file, _ in rows)),
        "tree": _tree,
        "dot": _dot,
        "json": lambda rows: json.dumps(
            [{"name": name, "file": file, "used_by": by} for name, file, by in rows], indent=2, ensure_ascii=False
        ),
    }
    return render[form](used)


def _tree(used: Sequence[TemplateUse]) -> str:
    children: dict[str | None, list[str]] = {}
    for name, _, by in used:
        if name not in children.setdefault(by, []):
            children[by].append(name)
    lines: list[str] = []
    shown: set[str] = set()

    def show(name: str, depth: int) -> None:
        again = name in shown and name in children
        lines.append(f"{'    ' * depth}{name}{' (see above)' if again else ''}")
        shown.add(name)
        for child in () if again else children.get(name, ()):
            show(child, depth + 1)

    for root in children.get(None, ()):
        show(root, 0)
    return "\n".join(lines)


def _dot(used: Sequence[TemplateUse]) -> str:
    nodes = dict.fromkeys(name for name, _, _ in used)
    edges = dict.fromkeys((by, name) for name, _, by in used if by is not None)
    quoted = json.dumps
    body = [
        *(f"    {quoted(name)};" for name in nodes),
        *(f"    {quoted(by)} -> {quoted(name)};" for by, name in edges),
    ]
    return "\n".join(["digraph templates {", "    node [shape=box];", *body, "}"])
