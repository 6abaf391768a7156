"""Jinja2 as the language uses it: sandboxed, strict about undefined names, and aware of marks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import jinja2
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment

from fg_config.rendering.limits import Budget, check_call, check_operation, is_widening
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
    """The environment of one render. `on_request` hears which template is asked for, and by which number.

    What the render uses up counts in `budget`. The sandbox asks here before it calculates or calls.
    """

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, loader: jinja2.BaseLoader, on_request: Callable[[str, int], None]) -> None:
        # No template cache: within one render a name may come to mean another sub-template.
        super().__init__(loader=loader, undefined=NamedUndefined, trim_blocks=True, cache_size=0)
        self.on_request = on_request
        self.budget = Budget()
        self.budget.guard_filters(self.filters)
        self.concat = cast("Any", self.budget.concatenated)  # makes the text of templates, blocks and macros
        self.filters["trim"] = _trim
        self.filters["toyaml"] = to_yaml_text
        self.filters[UNMARKED_FILTER] = unmarked

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        check_operation(operator, left, right)
        return self.budget.charge(super().call_binop(context, operator, left, right))

    def call(self, context: Context, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        self.budget.step()
        if not is_widening(function):
            return super().call(context, function, *args, **kwargs)
        text = getattr(function, "__self__", None)
        if isinstance(text, str) and function.__name__ == "join":
            return self.budget.join(*args, separator=text, **kwargs)
        check_call(function.__name__, text, *args, *kwargs.values())
        return self.budget.charge(super().call(context, function, *args, **kwargs))

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        formatted = super().wrap_str_format(value)
        return formatted and self.budget.guarded(formatted, "format", value.__self__)

    def join_path(self, template: str, parent: str) -> str:
        self.budget.template()
        self.on_request(str(template), template_number(parent))  # an undefined name raises here, naming itself
        return template


def _trim(value: Any, chars: str | None = None) -> str:
    return trim_marked(str(value), chars)
