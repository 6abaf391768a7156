"""Jinja2 as the language uses it: sandboxed, strict about undefined names, and aware of marks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from fg_config.rendering.marking import UNMARKED_FILTER
from fg_config.rendering.marks import template_number, trim_marked, unmarked
from fg_config.rendering.names import to_yaml_text


class UndefinedNameError(jinja2.UndefinedError):
    """An undefined name or attribute was used."""

    def __init__(self, message: str | None, owner: object, name: object) -> None:
        super().__init__(message)
        self.owner = owner
        self.name = name


class NamedUndefined(jinja2.StrictUndefined):
    """Strict, and its error knows the name and the object that lacks it."""

    __slots__ = ()

    def __init__(
        self,
        hint: str | None = None,
        obj: Any = jinja2.utils.missing,
        name: str | None = None,
        exc: Callable[[str | None], Exception] = jinja2.UndefinedError,
    ) -> None:
        if exc is jinja2.UndefinedError:
            exc = lambda message: UndefinedNameError(message, obj, name)  # noqa: E731  # Jinja only calls it
        super().__init__(hint, obj, name, exc)  # pyrefly: ignore[bad-argument-type]  # Jinja only calls it


class TemplateEnvironment(SandboxedEnvironment):
    """The environment of one render. `on_request` hears which template is asked for, and by which number."""

    def __init__(self, loader: jinja2.BaseLoader, on_request: Callable[[str, int], None]) -> None:
        # No template cache: within one render a name may come to mean another sub-template.
        super().__init__(loader=loader, undefined=NamedUndefined, trim_blocks=True, cache_size=0)
        self.on_request = on_request
        self.filters["trim"] = _trim
        self.filters["toyaml"] = to_yaml_text
        self.filters[UNMARKED_FILTER] = unmarked

    def join_path(self, template: str, parent: str) -> str:
        self.on_request(str(template), template_number(parent))  # an undefined name raises here, naming itself
        return template


def _trim(value: Any, chars: str | None = None) -> str:
    return trim_marked(str(value), chars)
