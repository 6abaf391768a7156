"""The index of a project: every name in its templates and configs, and which template extends which."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fg_config.errors import ConfigError
from fg_config.indexing.occurrences import Occurrence, SymbolKind, in_config, in_template
from fg_config.lint.context import ConfigContext, read_config
from fg_config.lint.library import Library
from fg_config.projects.project import Project, list_configs
from fg_config.rendering.compiling import compile_template
from fg_config.rendering.facts import TemplateFacts
from fg_config.rendering.source import TemplateSource


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectIndex:
    """Names of a project. `parents` maps a template to those it extends: more than one when the name is computed."""

    project_dir: Path
    occurrences: tuple[Occurrence, ...]
    parents: Mapping[str, tuple[str, ...]]
    contexts: Mapping[str, ConfigContext]

    def named(self, kind: SymbolKind, name: str | None = None) -> list[Occurrence]:
        """The occurrences of a kind, of one name if given."""
        return [each for each in self.occurrences if each.kind == kind and name in (None, each.name)]

    def ancestors(self, template: str) -> list[str]:
        """The templates that `template` extends, the nearest first."""
        found: list[str] = []
        todo = list(self.parents.get(template, ()))
        while todo:
            name = todo.pop(0)
            if name not in found and name != template:
                found.append(name)
                todo += self.parents.get(name, ())
        return found


def index_project(project_dir: str | os.PathLike[str] = ".", configs: Sequence[str] | None = None) -> ProjectIndex:
    """Index the templates that a project can see and its configs (default: all). Nothing they name is imported.

    What cannot be read is left out. Raises `ConfigError` when the project itself cannot be read.
    """
    names = list_configs(project_dir) if configs is None else configs
    contexts = [read_config(Project(name, project_dir)) for name in names]
    library = Library(contexts[0].project if contexts else Project("", project_dir))
    templates = dict(_templates(library))
    found = [each for source, facts in templates.items() for each in in_template(source, facts)]
    found += [each for context in contexts for each in in_config(context)]
    return ProjectIndex(
        project_dir=library.project.project_dir,
        occurrences=tuple(dict.fromkeys(found)),
        parents=_parents(templates, contexts),
        contexts={context.name: context for context in contexts},
    )


def _templates(library: Library) -> Iterator[tuple[TemplateSource, TemplateFacts]]:
    """The templates that Jinja2 can read."""
    for source in library.sources:
        try:
            yield source, compile_template(source).facts
        except ConfigError:
            continue  # `check` reports it


def _parents(
    templates: Mapping[TemplateSource, TemplateFacts], contexts: Iterable[ConfigContext]
) -> dict[str, tuple[str, ...]]:
    """What is written, and for computed names what the renders found."""
    parents: dict[str, dict[str, None]] = {}
    for source, facts in templates.items():
        written = {each.target: None for each in facts.references if each.kind == "extends" and each.target}
        parents.setdefault(source.name, {}).update(written)
    for context in contexts:
        for template in context.templates:
            if parent := context.render.parent_of(template):
                parents.setdefault(template.source.name, {})[parent.source.name] = None
    return {name: tuple(found) for name, found in parents.items()}
