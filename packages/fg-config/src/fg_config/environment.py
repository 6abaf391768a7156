"""Templates to text to graph, without a project: `ConfigEnvironment`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fg_config.distributions import Resource, find_template, template_directories
from fg_config.errors import ConfigError
from fg_config.graph import Graph
from fg_config.parsing.parse import parse_graph
from fg_config.rendering.doubts import doubtful_parts
from fg_config.rendering.failures import located
from fg_config.rendering.names import template_globals
from fg_config.rendering.render import Render, TemplateUse
from fg_config.rendering.source import TemplateSource, universal_newlines
from fg_config.rendering.sourcemap import RenderedText

_said: set[str] = set()
"""Warnings that were logged: a command renders a config more than once, and says each of them once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedConfig:
    """A config as text and as graph. `render` knows the templates behind the text; None for text given as such."""

    graph: Graph
    pp_config: RenderedText
    render: Render | None = None
    warnings: tuple[ConfigError, ...] = ()
    templates_used: tuple[TemplateUse, ...] = ()

    @property
    def config(self) -> Any:
        """The root: a mapping with attribute access whose nodes can be called to build them."""
        from fg_config.building.latent import config_view  # imported here: looking at a config builds nothing

        return config_view(self.graph)


class ConfigEnvironment:
    """A template search path with variables.

    `searchpath` directories are tried in order, then the templates of the installed distributions. `global_vars` are
    visible in every template. `now` stops the clock at a given moment; otherwise it stands still during each render.
    """

    def __init__(
        self,
        searchpath: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] = (),
        global_vars: Mapping[str, Any] | None = None,
        *,
        now: datetime | None = None,
    ) -> None:
        paths = [searchpath] if isinstance(searchpath, (str, os.PathLike)) else searchpath
        self.searchpath = [Path(path).absolute() for path in paths]
        self.global_vars = dict(global_vars or {})
        self.now = now
        self._in_memory: dict[str, str] = {}

    @property
    def search_path(self) -> list[Path]:
        """Every directory that is searched, those of the distributions last."""
        return [*self.searchpath, *(resource.path for resource in self._distributions())]

    def add_template(self, name: str, text: str) -> None:
        """Add a template that exists in memory only; it hides files of that name."""
        self._in_memory[name] = universal_newlines(text)

    def find_template(self, name: str) -> Path | None:
        """The file of a template. Names use `/`, are relative and never leave their directory."""
        parts = name.split("/")
        if name.startswith("/") or ".." in parts or "\\" in name or not name:
            return None
        for directory in self.searchpath:
            if (directory / name).is_file():
                return directory / name
        return find_template(name, self._distributions())

    def has_template(self, name: str) -> bool:
        """Whether there is a template of that name, in memory or as a file."""
        return name in self._in_memory or self.find_template(name) is not None

    def template_names(self) -> Iterator[str]:
        """The names of all template files in the search path."""
        for directory in self.search_path:
            for path in directory.rglob("*"):
                name = path.relative_to(directory)
                if path.is_file() and not any(part.startswith((".", "__")) for part in name.parts):
                    yield name.as_posix()

    def preprocess(self, name: str, /, **variables: Any) -> RenderedText:
        """Render a template of the search path."""
        return self._render(name, variables)[0]

    def preprocess_from_string(self, text: str, /, **variables: Any) -> RenderedText:
        """Render a template given as text (it is not split into sub-templates)."""
        return self._render(_string_source(text), variables)[0]

    def load(self, name: str, /, **variables: Any) -> LoadedConfig:
        """Render a template and parse it to a graph."""
        return self.load_config(name, variables=variables)

    def load_from_string(self, text: str, /, **variables: Any) -> LoadedConfig:
        """Render a template given as text and parse it."""
        return self.load_config(_string_source(text), variables=variables)

    def load_from_ppstring(self, text: str, /) -> LoadedConfig:
        """Parse text that is already rendered."""
        rendered = text if isinstance(text, RenderedText) else RenderedText(text)
        return LoadedConfig(graph=parse_graph(rendered), pp_config=rendered)

    def load_config(
        self, first: TemplateSource | str, *, variables: Mapping[str, Any], directory: Path | None = None
    ) -> LoadedConfig:
        """Render and parse. Relative files in import specs are relative to `directory`."""
        text, render = self._render(first, variables)
        return LoadedConfig(
            graph=parse_graph(text, directory=directory),
            pp_config=text,
            render=render,
            warnings=tuple(render.warnings),
            templates_used=tuple(render.uses()),
        )

    def new_render(self, variables: Mapping[str, Any]) -> Render:
        """A render that has not begun; `Render.run` does it, and what it loaded can be read also when that fails."""
        return Render(
            find_file=self.find_template,
            in_memory=self._in_memory,
            all_names=self.template_names,
            variables={**template_globals(self.now), **self.global_vars, **variables},
        )

    def _render(self, first: TemplateSource | str, variables: Mapping[str, Any]) -> tuple[RenderedText, Render]:
        render = self.new_render(variables)
        with located(render):
            text = render.run(first)
        render.warnings += doubtful_parts(render)
        _say(render.warnings)
        return text, render

    def _distributions(self) -> tuple[Resource, ...]:
        return template_directories()


def _say(warnings: Iterable[ConfigError]) -> None:
    for warning in map(str, warnings):
        if warning not in _said:
            import logging  # imported here: most configs are in order

            _said.add(warning)
            logging.getLogger(__name__).warning("%s", warning)


def _string_source(text: str) -> TemplateSource:
    return TemplateSource(name="<string>", text=universal_newlines(text), file="<string>")
