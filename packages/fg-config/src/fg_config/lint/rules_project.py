"""FG06: the project record and the flags that configs declare."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from fg_config.errors import ConfigError
from fg_config.graph import Graph
from fg_config.hints import nearest
from fg_config.lint.context import ConfigContext, make, source_span
from fg_config.lint.findings import Finding, from_error
from fg_config.lint.library import Library
from fg_config.nodes import Span
from fg_config.projects.config_files import ignored_files, ignored_message
from fg_config.projects.dynamic_args import parse_dynamic_args
from fg_config.projects.meta import KEYS, load_meta
from fg_config.projects.project import Project
from fg_config.projects.workspace import META
from fg_config.tagged import untagged

_FLAG: Final = re.compile(r"--?[A-Za-z][\w-]*")


def unknown_meta_keys(project: Project) -> Iterator[Finding]:
    """Keys of meta.yaml that nobody reads."""
    graph = load_meta(project.meta.project_dir, project.meta.workspace_root).graph
    for key in project.meta.extra:
        span = graph.span((key,))
        yield make("FG0630", f"nobody reads the key {key!r} of {META}", span, nearest(key, KEYS, "keys"))


def missing_search_directories(project: Project) -> Iterator[Finding]:
    """Directories of `searchdir` that do not exist; templates are then silently not found in them."""
    graph = load_meta(project.meta.project_dir, project.meta.workspace_root).graph
    for index, directory in enumerate(project.meta.searchdir):
        if not directory.is_dir():
            span = _entry_span(graph, index) or Span(file=str(project.project_dir / META), line=1)
            yield make("FG0631", f"the search directory {directory} does not exist", span, _near_directory(directory))


def configs_of_another_suffix(project: Project) -> Iterator[Finding]:
    """Files that no command lists as configs."""
    for file in ignored_files(project.meta):
        help = f"call it {file.with_suffix('.yaml').name}"
        yield make("FG0636", ignored_message(file), Span(file=str(file), line=1), help)


def _entry_span(graph: Graph, index: int) -> Span | None:
    if "searchdir" not in graph.targets:
        return None
    content = untagged(graph.target("searchdir"))
    return graph.span(("searchdir", index) if isinstance(content, (list, tuple)) else ("searchdir",))


def _near_directory(directory: Path) -> str | None:
    """A sibling of a similar name."""
    parent = directory.parent
    names = [path.name for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []
    return nearest(directory.name, names, f"directories in {parent}")


def config_without_meta(context: ConfigContext) -> Iterator[Finding]:
    """A config that `ls` cannot describe."""
    assert context.graph is not None
    if "meta" not in context.graph.targets:
        first = context.templates[0].source
        span = Span(file=first.file, line=1)
        help = "extend a type such as 'config_type.yaml', or declare `meta: {config_name: …, config_description: …}`"
        yield context.found("FG0633", f"the config {context.name!r} has no target `meta`", span, help)


def shared_output_directories(contexts: list[ConfigContext], _library: Library) -> Iterator[Finding]:
    """Training configs whose runs would go on from the checkpoints of another config; the default config comes first.

    The finding lies in the config's own file, where a comment can say that it is meant.
    """
    first: dict[str, ConfigContext] = {}
    for context in sorted(contexts, key=lambda each: each.name != each.project.meta.default_config):
        directory = _trains_into(context)
        other = context if directory is None else first.setdefault(directory, context)
        if other is not context:
            message = f"{context.name!r} trains in the output directory of {other.name!r}: {directory}"
            span, help = _directory_place(context)
            yield replace(context.found("FG0635", message, span, help), configs=(context.name,))


def _trains_into(context: ConfigContext) -> str | None:
    """The output directory of a training config."""
    meta = untagged(context.graph.target("meta")) if context.graph and "meta" in context.graph.targets else None
    if not isinstance(meta, dict):
        return None
    kind, directory = meta.get("config_class"), meta.get("output_dir")
    trains = isinstance(kind, str) and "training_script" in kind.split(".")
    return os.path.normpath(directory) if trains and isinstance(directory, str) else None


def _directory_place(context: ConfigContext) -> tuple[Span, str]:
    """The line of the config that names the directory, else its first one, and what to do there."""
    assert context.graph is not None
    source = context.templates[0].source
    meant = "if it is meant, say `## check: ignore FG0635` in the line above"
    span = context.graph.span(("meta", "output_dir"))
    if span is not None and span.file == source.file:
        return span, f"name another directory; {meant}"
    code = (number for number, line in enumerate(source.lines) if line.strip() and not line.lstrip().startswith("##"))
    name = f"-- set ns.model_name = model_name | default({Path(context.name).stem!r})"
    return source_span(source, next(code, 0) + 1), f"give it a name of its own: `{name}`; {meant}"


# --- dynamic arguments --------------------------------------------------------------------------------------------


def wrong_dynamic_args(context: ConfigContext, reserved: Collection[str]) -> Iterator[Finding]:
    """Entries that declare no flag, and flags that collide with each other or with those of the commands."""
    assert context.graph is not None
    try:
        parse_dynamic_args(context.graph, reserved=reserved)
    except ConfigError as error:
        yield from_error(error)


def repaired_flags(context: ConfigContext) -> Iterator[Finding]:
    """Flags with characters that are left out when they are read."""
    assert context.graph is not None
    for path, names in _flags(context.graph):
        for name in names:
            repaired = re.sub(r"[^\w-]", "", name)
            if not _FLAG.fullmatch(name) and _FLAG.fullmatch(repaired):
                message = f"the flag {name!r} has characters that nobody can type"
                yield context.found("FG0632", message, context.graph.span(path), f"it is read as {repaired!r}")


def _flags(graph: Graph) -> Iterator[tuple[tuple[str | int, ...], list[str]]]:
    """The names of each entry of `dynamic_args`, as far as they are text."""
    if "dynamic_args" not in graph.targets:
        return
    declared = untagged(graph.target("dynamic_args"))
    items = declared.items() if isinstance(declared, dict) else enumerate(declared or ())
    for key, entry in items:
        inner = untagged(entry)
        names = untagged(inner.get("names")) if isinstance(inner, dict) else None
        words = [names] if isinstance(names, str) else names
        if isinstance(words, (list, tuple)):
            yield ("dynamic_args", key, "names"), [word for word in words if isinstance(word, str)]
