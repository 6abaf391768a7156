"""What the inspecting verbs print: projects and their configs, the templates of a config, the outline of a graph."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fg_config.errors import ConfigError
from fg_config.nodes import MISSING, Call, Value, Var
from fg_config.project import Project
from fg_config.project_meta import config_names, read_project_meta
from fg_config.rendering import TemplateUse
from fg_config.tagged import tagged_content
from fg_config.workspace import find_project_dir


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigEntry:
    """One config of a project; `error` is the reason why it cannot be read."""

    config: str
    name: str | None = None
    description: str | None = None
    config_class: str | None = None
    default: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectListing:
    """A project and its configs; `error` is the reason why the project itself cannot be read."""

    path: Path
    name: str | None = None
    description: str | None = None
    configs: tuple[ConfigEntry, ...] = ()
    error: str | None = None

    @property
    def failed(self) -> bool:
        return self.error is not None or any(entry.error is not None for entry in self.configs)

    def to_json(self) -> dict[str, Any]:
        fields = ("config", "name", "description", "config_class", "default", "error")
        return {
            "path": str(self.path),
            "name": self.name,
            "description": self.description,
            "error": self.error,
            "configs": [{field: getattr(entry, field) for field in fields} for entry in self.configs],
        }


# --- ls -----------------------------------------------------------------------------------------------------------


def find_projects(places: Sequence[Path], *, recursive: bool) -> Iterator[Path]:
    """The projects that hold `places`, or with `recursive` every project below them, sorted."""
    for place in places:
        if not recursive:
            yield Path(find_project_dir(place))
            continue
        for folder, subfolders, files in os.walk(place):
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            if "meta.yaml" in files:
                yield Path(folder)


def list_project(path: Path) -> ProjectListing:
    """Read every config of the project at `path`. A config that cannot be read becomes an entry with its error."""
    try:
        record = read_project_meta(path)
    except ConfigError as error:
        return ProjectListing(path=path, error=_reason(error))
    names = config_names(record.searchdir, record.config_prefix)
    entries = tuple(_entry(path, name, default=name == record.default_config) for name in names)
    return ProjectListing(path=path, name=record.name, description=record.description, configs=entries)


def _entry(path: Path, config: str, *, default: bool) -> ConfigEntry:
    try:
        meta = Project(config, path).graph.target("meta")
        meta = tagged_content(meta) or meta
    except ConfigError as error:
        return ConfigEntry(config=config, default=default, error=_reason(error))
    return ConfigEntry(
        config=config,
        default=default,
        name=_text(meta, "config_name"),
        description=_text(meta, "config_description"),
        config_class=_text(meta, "config_class"),
    )


def _text(meta: Any, key: str) -> str | None:
    value = meta.get(key) if isinstance(meta, dict) else None
    return None if value is None or isinstance(value, (Call, Var)) else str(value)


def _reason(error: ConfigError) -> str:
    """The report in one line: what is wrong, and where."""
    return f"{error.message} ({error.span})" if error.span is not None else error.message


def listing_text(listing: ProjectListing, *, with_path: bool) -> str:
    """`NAME : DESCRIPTION` and one line per config, the default in brackets."""
    head = [f"Project Path: {listing.path}"] if with_path else []
    if listing.error is not None:
        return "\n".join([*head, f"PROJECT ERROR : {listing.path}: {listing.error}"])
    title = f"{listing.name or listing.path.name} : {listing.description or ''}".rstrip()
    return "\n".join([*head, title, *map(_entry_text, listing.configs)])


def _entry_text(entry: ConfigEntry) -> str:
    config = f"[{entry.config}]" if entry.default else entry.config
    if entry.error is not None:
        return f"    {config:<30} PARSE ERROR : {entry.error}"
    return f"    {config:<30} {entry.name or ''} : {entry.description or ''}".rstrip()


# --- trefs --------------------------------------------------------------------------------------------------------


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


# --- graph --format repr ------------------------------------------------------------------------------------------


def graph_outline(root: Value) -> str:
    """One line per value: where it hangs, what it is, and for nodes the file and line that wrote it."""
    return "\n".join(_outline(root, "", 0, set()))


def _outline(value: Any, label: str, depth: int, seen: set[int]) -> Iterator[str]:
    yield f"{'    ' * depth}{label}{_describe(value, again=id(value) in seen)}"
    if id(value) in seen:
        return
    if isinstance(value, (Call, Var)):
        seen.add(id(value))
    for name, inner in _labelled(value):
        yield from _outline(inner, f"{name}: ", depth + 1, seen)


def _describe(value: Any, *, again: bool) -> str:
    match value:
        case Call():
            name = f"@{value.name}" if value.name else ""
            return f"!{value.kind}:{value.spec}{name}  ({'the same as above, ' if again else ''}{value.span})"
        case Var():
            return f"!var {value.name}  ({value.span})"
        case dict() | list() | tuple() if value:
            return f"{type(value).__name__} of {len(value)}"
    return repr(value)


def _labelled(value: Any) -> Iterator[tuple[str, Any]]:
    match value:
        case Call():
            yield from ((f"[{index}]", item) for index, item in enumerate(value.args))
            yield from value.kwargs.items()
            extra = {"latent_args": value.latent_args, "submodule_searchpath": value.submodule_searchpath}
            yield from ((name, item) for name, item in extra.items() if item is not None)
        case Var() if value.default is not MISSING:
            yield "default", value.default
        case dict():
            yield from ((str(key), item) for key, item in value.items())
        case list() | tuple():
            yield from ((f"[{index}]", item) for index, item in enumerate(value))
