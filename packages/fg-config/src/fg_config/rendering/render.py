"""One render: which templates it loaded, in which order, and what each rendered line came from.

Everything that depends on what was loaded (sub-template labels, the template table) belongs to the render and dies
with it, so rendering one config never changes another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import jinja2

from fg_config.errors import ConfigError, TemplateError
from fg_config.hints import nearest_path
from fg_config.nodes import Span
from fg_config.rendering.chains import chain_to, first_requests
from fg_config.rendering.compiling import CompiledTemplate, compile_template
from fg_config.rendering.language import TemplateEnvironment
from fg_config.rendering.source import TemplateSource, read_source
from fg_config.rendering.sourcemap import RenderedText, Sites, extract


class TemplateUse(NamedTuple):
    """A template that took part in a render, and the template that asked for it (None for the first)."""

    name: str
    file: str
    includer: str | None


@dataclass(slots=True)
class Render:
    """The state of one top-level render."""

    find_file: Callable[[str], Path | None]
    in_memory: Mapping[str, str]
    all_names: Callable[[], Iterator[str]]
    variables: Mapping[str, Any]
    labels: dict[str, TemplateSource] = field(default_factory=dict)
    files: dict[str, TemplateSource] = field(default_factory=dict)
    loaded: dict[int, CompiledTemplate] = field(default_factory=dict)
    by_name: dict[str, int] = field(default_factory=dict)
    requests: list[tuple[str, int]] = field(default_factory=list)
    relabelled: list[tuple[TemplateSource, TemplateSource]] = field(default_factory=list)
    warnings: list[ConfigError] = field(default_factory=list)
    _chains: dict[tuple[int, Sites, int], tuple[Span, ...]] = field(default_factory=dict, repr=False)

    def run(self, first: TemplateSource | str) -> RenderedText:
        """Render a template of the search path, or one given as source. Errors are Jinja2's (see `located`)."""
        loader = _Loader(self)
        environment = TemplateEnvironment(loader, self._requested)
        environment.globals.update(self.variables)
        if isinstance(first, str):
            template = environment.get_template(first)
        else:
            template = loader.make(environment, first, environment.make_globals(None))
        text, source_map = extract(template.render(), self._describe)
        return RenderedText(text, source_map)

    def _requested(self, template: str, asker: int) -> None:
        self.requests.append((template, asker))

    def source(self, name: str) -> TemplateSource | None:
        """The template of that name: a label seen in this render, one given in memory, or a file."""
        if name in self.labels:
            return self.labels[name]
        if name in self.in_memory:
            return TemplateSource(name=name, text=self.in_memory[name], file=f"<{name}>")
        if name not in self.files:
            path = self.find_file(name)
            if path is None:
                return None
            self.files[name], *labelled = read_source(name, path)
            for part in labelled:
                self._define_label(part)
        return self.files[name]

    def _define_label(self, source: TemplateSource) -> None:
        if (earlier := self.labels.get(source.name)) is not None:
            self.relabelled.append((earlier, source))
        self.labels[source.name] = source

    def load(self, source: TemplateSource) -> CompiledTemplate:
        """Compile `source` and remember that it took part."""
        try:
            template = compile_template(source)
        except TemplateError as error:
            if error.span is not None and self.requests:
                raise self._with_chain(error, source) from error
            raise
        self.loaded[template.number] = template
        self.by_name.setdefault(source.name, template.number)
        return template

    def _with_chain(self, error: TemplateError, source: TemplateSource) -> TemplateError:
        span = error.span
        assert span is not None
        via = first_requests(self, source.name)
        longer = Span(file=span.file, line=span.line, column=span.column, label=span.label, via=via)
        return TemplateError(error.message, code=error.code, span=longer, snippet=error.snippet, help=error.help)

    def span(self, number: int, line: int, column: int = 0, sites: Sites = ()) -> Span:
        """The span of a place in a loaded template, with the chain that led to the template."""
        source = self.loaded[number].source
        via = self._chain(number, sites)
        return Span(file=source.file, line=line, column=column, label=source.label, via=via)

    def _chain(self, number: int, sites: Sites) -> tuple[Span, ...]:
        key = (number, sites, len(self.requests))  # a request may add what leads to a template
        if key not in self._chains:
            self._chains[key] = chain_to(self, number, sites)
        return self._chains[key]

    def _describe(self, number: int, line: int, column: int, sites: Sites) -> Span:
        if number not in self.loaded:  # private-use characters of the user's own that look like a mark
            return Span(file="<rendered text>", line=line)
        return self.span(number, line, column, sites)

    def template_at(self, span: Span) -> CompiledTemplate | None:
        """The loaded template that `span` lies in."""
        same = (each for each in self.loaded.values() if each.source.file == span.file)
        return next((each for each in same if each.source.label == span.label), None)

    def parent_of(self, template: CompiledTemplate) -> CompiledTemplate | None:
        """The template that `template` extends, as far as it was loaded."""
        extended = {each.target for each in template.facts.references if each.kind == "extends"}
        asked = [name for name, asker in self.requests if asker == template.number and name in self.by_name]
        named = [name for name in asked if name in extended]
        included = {each.target for each in template.facts.references if each.kind != "extends"}
        computed = [name for name in asked if name not in included] if None in extended else []
        return next((self.loaded[self.by_name[name]] for name in [*named, *computed]), None)

    def uses(self) -> list[TemplateUse]:
        """Every pair of template and asker, in the order of loading."""
        first = next(iter(self.loaded.values()), None)
        if first is None:
            return []
        found = [TemplateUse(name=first.source.name, file=first.source.file, includer=None)]
        for name, parent in self.requests:
            number = self.by_name.get(name)
            if number is None:
                continue  # an include that tolerates missing templates
            includer = self.loaded[parent].source.name
            found.append(TemplateUse(name=name, file=self.loaded[number].source.file, includer=includer))
        return list(dict.fromkeys(found))

    def missing(self, name: str, asker: str | None = None) -> str | None:
        """What a template name that does not exist may have meant, whatever the directory; never the one who asks."""
        known = dict.fromkeys([*self.labels, *self.in_memory, *self.all_names()])
        return nearest_path(name, [each for each in known if each != asker])


class _Loader(jinja2.BaseLoader):
    def __init__(self, render: Render) -> None:
        self.render = render

    def load(self, environment: jinja2.Environment, name: str, globals: Any = None) -> jinja2.Template:
        source = self.render.source(name)
        if source is None:
            raise jinja2.TemplateNotFound(name)
        return self.make(environment, source, globals)

    def make(self, environment: jinja2.Environment, source: TemplateSource, globals: Any) -> jinja2.Template:
        code = self.render.load(source).code
        return environment.template_class.from_code(environment, code, dict(globals or {}), None)
