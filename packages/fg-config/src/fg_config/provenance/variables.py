"""The names behind an expression, followed back to what gave them their values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import jinja2
from jinja2.utils import Namespace

from fg_config.provenance.assignments import Assignment, assignments_of
from fg_config.provenance.explanation import Feed
from fg_config.provenance.sites import Sites
from fg_config.rendering.facts import DefaultFact, ExpressionFact, SetFact
from fg_config.rendering.names import template_globals
from fg_config.rendering.preprocess import preprocess
from fg_config.rendering.render import CompiledTemplate, Render, TemplateEnvironment
from fg_config.shown import shown_scalar

# Names that say nothing about a value: the language's own, and functions that only compute with their arguments.
_LANGUAGE: Final = ("super", "self", "loop", "caller", "varargs", "kwargs", "namespace")
_COMPUTING: Final = (
    "range",
    "dict",
    "cycler",
    "joiner",
    "repr",
    "joinpath",
    "normpath",
    "relpath",
    "modname_from_path",
)
_SILENT: Final = frozenset([*_LANGUAGE, *_COMPUTING, "lipsum", "dirname", "basename", "splitext"])
_EXPRESSION_ERRORS: Final = (
    *(ArithmeticError, AttributeError, LookupError, TypeError, ValueError),
    jinja2.TemplateError,
)
_COMPUTED: Final = "computed"
_ASSIGNMENT: Final = re.compile(r"\{%-?\s*set\s+([\w.]+)\s*=\s*(.*?)\s*-?%\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a render was given: values of the caller by name, and the flag of each declared dynamic argument."""

    variables: Mapping[str, Any] = field(default_factory=dict)
    flags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    """Who reads names: a line (of the file) of a template, when `before` assignments to namespaces had happened.

    `passed` are the plain assignments that led here, so that two which read each other end.
    """

    template: CompiledTemplate
    line: int
    before: int
    passed: frozenset[SetFact] = frozenset()


class Variables:
    """The names of one render."""

    def __init__(self, render: Render, sites: Sites, given: Given) -> None:
        self.render = render
        self._sites = sites
        self._given = given

    def feeds(self, facts: Iterable[ExpressionFact], template: CompiledTemplate, line: int) -> tuple[Feed, ...]:
        """What the names in `facts` were when a line (of the file) of `template` read them."""
        facts = list(facts)
        return self._feeds(facts, _Reader(template=template, line=line, before=len(self._assignments))) if facts else ()

    def _feeds(self, facts: Iterable[ExpressionFact | SetFact], reader: _Reader) -> tuple[Feed, ...]:
        found: dict[str, Feed] = {}
        for fact in facts:
            defaults = {default.name: default for default in fact.defaults}
            for name in fact.names:
                if name.partition(".")[0] not in _SILENT and name not in found:
                    found[name] = self._feed(name, defaults.get(name), reader)
        return tuple(found.values())

    def _feed(self, name: str, default: DefaultFact | None, reader: _Reader) -> Feed:
        """One name, from what shadows to what is shadowed: assignments, what was given, the language, the default."""
        index = self._last_assignment(name, reader.before)
        if index is not None:
            return self._assigned(name, index)
        static = self._static_set(name, reader)
        if static is not None:
            return self._set(name, *static, reader)
        base = name.partition(".")[0]
        if base in self.render.variables:
            return self._from_outside(name, base, default)
        if default is not None:
            text = _default_text(default)
            value = text if default.constant else None
            return Feed(name=name, source="default()", value=value, default=text, given=self._flag(name))
        return Feed(name=name, source="not given" if name in self._given.flags else "local", given=self._flag(name))

    # --- assignments to namespaces --------------------------------------------------------------------------------

    @cached_property
    def _assignments(self) -> list[Assignment]:
        return assignments_of(self.render)

    def _last_assignment(self, name: str, before: int) -> int | None:
        """The last assignment to `name`, or to what `name` is an attribute of, among the first `before`."""
        for index in range(before - 1, -1, -1):
            assigned = self._assignments[index].name
            if name == assigned or name.startswith(f"{assigned}."):
                return index
        return None

    def _assigned(self, name: str, index: int) -> Feed:
        assignment = self._assignments[index]
        template, line = assignment.template, assignment.line
        inside = line - template.source.first_line + 1
        facts = [fact for fact in template.facts.sets if (fact.line, fact.target) == (inside, assignment.name)]
        return Feed(
            name=name,
            source="set",
            value=_text(assignment.value) if name == assignment.name else None,
            site=self._sites.of_line(template, line),
            feeds=self._feeds(facts, _Reader(template=template, line=line, before=index)),
        )

    # --- plain assignments ----------------------------------------------------------------------------------------

    def _static_set(self, name: str, reader: _Reader) -> tuple[CompiledTemplate, SetFact] | None:
        """The `-- set name = …` that the reader sees: one above it, else one at the top of another template."""
        own, above = reader.template, reader.line - reader.template.source.first_line + 1
        every = [
            (each, fact)
            for each in self.render.loaded.values()
            for fact in each.facts.sets
            if fact.target == name and fact not in reader.passed
        ]
        near = [(each, fact) for each, fact in every if each is own and fact.line <= above]
        far = [(each, fact) for each, fact in every if each is not own]
        outside = [(each, fact) for each, fact in far if each.facts.block_at(fact.line) is None]
        return next(iter([*reversed(near), *outside, *far]), None)

    def _set(self, name: str, template: CompiledTemplate, fact: SetFact, reader: _Reader) -> Feed:
        line = fact.line + template.source.first_line - 1
        inner = _Reader(template=template, line=line, before=reader.before, passed=reader.passed | {fact})
        site = self._sites.of_line(template, line)
        feeds = self._feeds([fact], inner)
        return Feed(name=name, source="set", value=self._evaluated(name, site.text), site=site, feeds=feeds)

    def _evaluated(self, name: str, text: str) -> str | None:
        """The value of the assignment on a line; None when it depends on what is only known while rendering."""
        found = _ASSIGNMENT.fullmatch(preprocess(text).strip())
        if found is None or found[1] != name:
            return None
        environment = TemplateEnvironment(jinja2.DictLoader({}), lambda template, parent: None)
        try:
            value = environment.compile_expression(found[2], undefined_to_none=False)(**self._known)
            return None if isinstance(value, (jinja2.Undefined, Namespace)) else _text(value)
        except _EXPRESSION_ERRORS:  # it reads a name that only the rendering template has
            return None

    @cached_property
    def _known(self) -> dict[str, Any]:
        known = dict(self.render.variables)
        for assignment in self._assignments:
            holder, _, attribute = assignment.name.partition(".")
            known.setdefault(holder, Namespace())[attribute] = assignment.value
        return known

    # --- what comes from outside ----------------------------------------------------------------------------------

    def _from_outside(self, name: str, base: str, default: DefaultFact | None) -> Feed:
        given = base in self._given.variables
        declared = base in self._given.flags
        source = "environment" if not given else "dynamic argument" if declared else "template variable"
        value = self.render.variables[base]
        return Feed(
            name=name,
            source=source,
            value=_text(value) if name == base and not callable(value) else None,
            given=(self._flag(base) or "by the caller") if given else _what_is(base),
            default=_default_text(default) if default else None,
        )

    def _flag(self, name: str) -> str | None:
        return self._given.flags.get(name)


def _default_text(default: DefaultFact) -> str:
    return _text(default.value) if default.constant else _COMPUTED


def _text(value: Any) -> str:
    return shown_scalar(value)


def _what_is(name: str) -> str:
    """Where a name of the environment comes from."""
    if name in ("project_dir", "workspace_root"):
        return "the project"
    if name in ("now", "utcnow", "isotime", "utcisotime", "filetime", "utcfiletime"):
        return "the clock"
    return "this machine" if name in template_globals() else "the environment's variables"
