"""FG02: what templates say to each other in vain.

The doubts that every render reports (unknown blocks, text outside blocks, labels defined twice) are found while
rendering; here is what takes a look at the whole library.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from fg_config.errors import ConfigError
from fg_config.hints import did_you_mean
from fg_config.lint.context import ConfigContext, make, source_span
from fg_config.lint.findings import Finding
from fg_config.lint.library import Library
from fg_config.lint.slips import is_slip
from fg_config.lint.syntax import BUILT_IN, Read, Syntax, syntax_of
from fg_config.projects.dynamic_args import parse_dynamic_args
from fg_config.rendering.source import TemplateSource


def undefined_names(context: ConfigContext) -> Iterator[Finding]:
    """Names that a template reads, perhaps in a branch that was not taken, and that nothing defines.

    A config that cannot be read has not told which flags it declares.
    """
    if context.graph is None:
        return
    scopes = {source: syntax for source in context.sources if (syntax := syntax_of(source)) is not None}
    defined = _Definitions(context, scopes.values())
    for source, syntax in scopes.items():
        for read in syntax.reads:
            if not defined.covers(read):
                span = source_span(source, read.line)
                advice = "give it a value with `-- set`, a dynamic argument or `| default(...)`"
                message = f"{read.name!r} is not defined by any template of this config"
                yield context.found("FG0203", message, span, did_you_mean(read.name, defined.names) or advice)


class _Definitions:
    """What the templates of a config, its variables and its dynamic arguments define."""

    def __init__(self, context: ConfigContext, scopes: Iterable[Syntax]) -> None:
        self._roots = {*BUILT_IN, *context.render.variables, *_dynamic_names(context)}
        self._keys: dict[str, set[str] | None] = {}
        self._optional: set[str] = set()
        for syntax in scopes:
            self._add(syntax)

    def _add(self, syntax: Syntax) -> None:
        self._roots |= {name.partition(".")[0] for name in syntax.bound}
        self._optional |= {read.name for read in syntax.reads if read.guarded}
        for name, keys in syntax.namespaces.items():
            known = self._keys.setdefault(name, set())
            self._keys[name] = None if keys is None or known is None else known | keys
        for name in syntax.bound:
            holder, _, key = name.partition(".")
            if key:
                known = self._keys.setdefault(holder, set())
                if known is not None:
                    known.add(key)

    @property
    def names(self) -> list[str]:
        """What could have been meant."""
        keys = (f"{holder}.{key}" for holder, known in self._keys.items() for key in known or ())
        return [*self._roots, *self._optional, *keys]

    def covers(self, read: Read) -> bool:
        """Whether something defines what is read, or some template reckons with its absence."""
        root, *rest = read.name.split(".")
        if read.guarded or root in self._optional or ".".join([root, *rest[:1]]) in self._optional:
            return True
        keys = self._keys.get(root, None)
        if rest and keys is not None and root in self._roots:
            return rest[0] in keys
        return root in self._roots


def _dynamic_names(context: ConfigContext) -> set[str]:
    try:
        return {each.dest for each in parse_dynamic_args(context.graph)} if context.graph else set()
    except ConfigError:
        return set()  # that mistake is reported by the rule for dynamic_args


# --- never used ---------------------------------------------------------------------------------------------------


def unused_sets(contexts: list[ConfigContext], library: Library) -> Iterator[Finding]:
    """`-- set` of what no template reads; only in files of the project, for a library sets names for others."""
    for source in library.own_sources:
        syntax = syntax_of(source)
        for each in syntax.sets if syntax else ():
            if not each.name.startswith("_") and not library.reads(each.name):
                span = source_span(source, each.line)
                help = did_you_mean(each.name, (name for name in library.names_read if is_slip(each.name, name)))
                snippet = source.line_text(span.line)
                yield make("FG0211", f"no template reads {each.name!r}", span, help, snippet=snippet)


def unused_labels(contexts: list[ConfigContext], library: Library) -> Iterator[Finding]:
    """Sub-templates that nothing asks for."""
    asked = requested(contexts, library)
    missing = {name for context in contexts for name in _missing(context)}
    for source in library.own_sources:
        if source.label is not None and source.label not in asked and not _is_banner(source):
            span = source_span(source, 0)
            message = f"nothing includes or extends the sub-template {source.label!r}"
            help = did_you_mean(source.label, missing) or "include it, or take it out"
            yield make("FG0212", message, span, help)


def _missing(context: ConfigContext) -> Iterator[str]:
    """The templates that a config asked for and did not get."""
    return (name for name, _ in context.render.requests if context.render.source(name) is None)


def requested(contexts: list[ConfigContext], library: Library) -> frozenset[str]:
    """The names that templates ask for, and every word that may be the name of one."""
    return library.words | {name for context in contexts for name, _ in context.render.requests}


def _is_banner(source: TemplateSource) -> bool:
    """Whether the marker looks like a comment; another rule tells about it."""
    line = Path(source.file).read_text(encoding="utf-8").split("\n")[source.first_line - 2]
    return line[1:2] == " " and not set("./") & set(source.label or "")


def shadowed(contexts: list[ConfigContext], library: Library) -> Iterator[Finding]:
    """Templates that were used and hide another one of the same name and different content."""
    used: dict[str, str] = {}
    for context in contexts:
        used |= {template.source.name: template.source.file for template in context.templates}
    for name, file in used.items():
        hidden = [path for path in library.files.get(name, [])[1:] if _differs(path, file)]
        if hidden and library.files[name][0] == Path(file):
            span = source_span(TemplateSource(name=name, text="", file=file), 1)
            message = f"this template hides {', '.join(map(str, hidden))}, which has the same name"
            yield make("FG0213", message, span, "rename one of them, unless replacing it is meant")


def _differs(path: Path, file: str) -> bool:
    return path.resolve() != Path(file).resolve() and path.read_bytes() != Path(file).read_bytes()
