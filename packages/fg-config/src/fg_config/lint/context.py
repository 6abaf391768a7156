"""What the rules look at: a config as far as it could be read, and the project around it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from fg_config.errors import ConfigError
from fg_config.graph import Graph
from fg_config.lint.codes import CODES
from fg_config.lint.findings import Finding, Severity
from fg_config.nodes import Span
from fg_config.parsing.loader import compose
from fg_config.parsing.parse import parse_graph
from fg_config.projects.project import Project
from fg_config.rendering.doubts import doubtful_parts
from fg_config.rendering.failures import located
from fg_config.rendering.render import CompiledTemplate, Render
from fg_config.rendering.source import TemplateSource
from fg_config.rendering.sourcemap import RenderedText


@dataclass(frozen=True, kw_only=True)
class ConfigContext:
    """One config. What could not be made because of an earlier mistake is None; `problems` says why."""

    project: Project
    render: Render
    problems: tuple[ConfigError, ...] = ()
    text: RenderedText | None = None
    document: yaml.Node | None = None
    graph: Graph | None = None

    @property
    def name(self) -> str:
        """The name of the config."""
        return self.project.config_name

    @cached_property
    def templates(self) -> tuple[CompiledTemplate, ...]:
        """The templates that the render loaded."""
        return tuple(self.render.loaded.values())

    @cached_property
    def sources(self) -> tuple[TemplateSource, ...]:
        """The text of every template that was seen: also sub-templates that nothing asked for."""
        loaded = (template.source for template in self.templates)
        return tuple(dict.fromkeys([*loaded, *self.render.files.values(), *self.render.labels.values()]))

    def template_at(self, span: Span) -> CompiledTemplate | None:
        """The template that `span` lies in."""
        return self.render.template_at(span)

    def owns(self, span: Span) -> bool:
        """Whether `span` lies in a file of the project or its workspace, not in a library."""
        return any(Path(span.file).is_relative_to(root) for root in own_directories(self.project))

    def line_text(self, span: Span) -> str:
        """What stands on the line of `span`."""
        return next((text for source in self.sources if source.file == span.file
                     and (text := source.line_text(span.line))), "")  # fmt: skip

    def found(
        self,
        code: str,
        message: str,
        span: Span | None,
        help: str | None = None,
        *,
        severity: Severity | None = None,
    ) -> Finding:
        """A finding of this config, as grave as its code unless `severity` says otherwise."""
        snippet = self.line_text(span) if span else None
        return make(code, message, span, help, snippet=snippet, severity=severity)


def make(
    code: str,
    message: str,
    span: Span | None,
    help: str | None = None,
    *,
    snippet: str | None = None,
    severity: Severity | None = None,
) -> Finding:
    """A finding that is as grave as its code, unless `severity` says otherwise."""
    severity = severity or CODES[code].severity
    return Finding(code=code, severity=severity, message=message, span=span, snippet=snippet, help=help)


def own_directories(project: Project) -> list[Path]:
    """The project, its search directories inside the workspace, and the workspace's own templates."""
    meta = project.meta
    inside = [path for path in meta.searchdir if path.is_relative_to(meta.workspace_root)]
    return [meta.project_dir, *inside, meta.workspace_root / "forgather_workspace"]


def read_config(project: Project) -> ConfigContext:
    """Render, compose and parse as far as it goes. Raises nothing that a config can be to blame for."""
    render = project.environment.new_render(project.template_vars)
    parts: dict[str, Any] = {}
    problems: list[ConfigError] = []
    try:
        with located(render):
            parts["text"] = render.run(f"{project.meta.config_prefix}/{project.config_name}")
        parts["document"] = compose(parts["text"])
        parts["graph"] = parse_graph(parts["text"], directory=project.project_dir)
    except ConfigError as error:
        problems.append(error)
    problems += render.warnings
    # A render that stopped has not seen all parents: which blocks they have is not known.
    problems += (each for each in doubtful_parts(render) if "text" in parts or each.code != "FG0207")
    return ConfigContext(project=project, render=render, problems=tuple(problems), **parts)


def source_span(source: TemplateSource, line: int, column: int = 0) -> Span:
    """The place of a line that is counted within a template."""
    return Span(file=source.file, line=line + source.first_line - 1, column=column, label=source.label)


def distinct(contexts: Iterable[ConfigContext]) -> Iterator[tuple[ConfigContext, TemplateSource]]:
    """Every template of several configs once, with the first config that has it."""
    seen: set[TemplateSource] = set()
    for context in contexts:
        for source in context.sources:
            if source not in seen:
                seen.add(source)
                yield context, source
