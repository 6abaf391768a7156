"""From what goes wrong inside Jinja2 to errors that name the template line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import jinja2
from jinja2.utils import Namespace, missing

from fg_config.errors import ConfigError, TemplateError
from fg_config.hints import did_you_mean, nearest
from fg_config.nodes import Span
from fg_config.rendering.chains import sites_of, template_frames, youngest
from fg_config.rendering.circles import circle_error
from fg_config.rendering.compiling import CompiledTemplate
from fg_config.rendering.language import UndefinedNameError
from fg_config.rendering.limits import LimitError
from fg_config.rendering.marks import read_marks
from fg_config.rendering.overriding import replaced_sets
from fg_config.rendering.render import Render

_REQUIRED: Final = re.compile(r"Required block '(\w+)' not found")


@contextmanager
def located(render: Render) -> Iterator[None]:
    """Turn every exception of a render into a `ConfigError` with the line of the innermost template."""
    try:
        yield
    except RecursionError as error:
        circle = circle_error(render, error.__traceback__)
        raise circle or _at_line(render, error, "templates nest too deeply", "FG0205") from error
    except ConfigError:
        raise
    except UndefinedNameError as error:
        raise _undefined(render, error) from error
    except LimitError as error:
        raise _beyond_limits(render, error) from error
    except jinja2.TemplateNotFound as error:
        names = [str(name) for name in getattr(error, "templates", None) or [error.name]]
        frames = template_frames(render, error.__traceback__)
        asker = frames[-1].template.source.name if frames else None
        hints = filter(None, (render.missing(name, asker) for name in names))
        message = f"template {' or '.join(map(repr, names))} not found"
        raise _at_line(render, error, message, "FG0204", help="; ".join(hints) or None) from error
    except jinja2.TemplateRuntimeError as error:
        raise _runtime_error(render, error) from error
    except Exception as error:  # whatever a template's expression raises is a mistake in the template
        message = f"{type(error).__name__}: {error}"
        raise _at_line(render, error, message, "FG0202", help=_values_help(render, error)) from error


def _at_line(render: Render, error: BaseException, message: str, code: str, help: str | None = None) -> TemplateError:
    frames = template_frames(render, error.__traceback__)
    if not frames:
        return TemplateError(message, code=code, help=help)
    template, line, *_ = frames[-1]
    span = render.span(template.number, line, sites=sites_of(render, frames))
    return TemplateError(message, code=code, span=span, snippet=template.source.line_text(line), help=help)


def _beyond_limits(render: Render, error: LimitError) -> TemplateError:
    help = "a template writes a config: what takes this much belongs into the code that the config names"
    plain = _at_line(render, error, str(error), "FG0214", help=help)
    marks = [mark for _, mark in read_marks(error.written) if mark.template in render.loaded]
    if plain.span is not None or not marks:
        return plain
    number, line, _ = marks[-1]
    snippet = render.loaded[number].source.line_text(line)
    return TemplateError(plain.message, code=plain.code, span=render.span(number, line), snippet=snippet, help=help)


def _runtime_error(render: Render, error: jinja2.TemplateRuntimeError) -> TemplateError:
    plain = _at_line(render, error, str(error), "FG0202", help=_values_help(render, error))
    if (required := _REQUIRED.match(plain.message)) and plain.span is not None:
        return _required_block(render, required[1], plain.span, error)
    if plain.message == "cannot assign attribute on non-namespace object":
        return _early_assignment(render, plain)
    return plain


def _required_block(render: Render, block: str, required_at: Span, error: BaseException) -> TemplateError:
    """A child is at fault, not the parent that asks for the block."""
    frames = template_frames(render, error.__traceback__)
    child, sites = youngest(render, frames), sites_of(render, frames)
    line = next((each.line for each in child.facts.references if each.kind == "extends"), 1)
    line += child.source.first_line - 1
    return TemplateError(
        f"the block {block!r} is required and not given",
        code="FG0209",
        span=render.span(child.number, line, sites=sites),
        snippet=child.source.line_text(line),
        help=f"write `[{block}]` here or in a template between; {required_at.file}:{required_at.line} asks for it",
    )


def _early_assignment(render: Render, plain: TemplateError) -> TemplateError:
    """`-- set ns.x` at the top of a child runs before the root ancestor has made `ns`; Jinja2 knows no line for it."""
    for template in render.loaded.values():
        for fact in template.facts.sets:
            if "." in fact.target and template.facts.is_child and template.facts.block_at(fact.line) is None:
                line = fact.line + template.source.first_line - 1
                holder = fact.target.partition(".")[0]
                return TemplateError(
                    f"{fact.target!r} is set before {holder!r} exists",
                    code=plain.code,
                    span=render.span(template.number, line),
                    snippet=template.source.line_text(line),
                    help=f"the root template makes {holder!r}: set it inside a block, such as [config_metadata]",
                )
    return plain


def _values_help(render: Render, error: BaseException) -> str | None:
    """The variables of the line that failed, with their values and where these were set."""
    frames = template_frames(render, error.__traceback__)
    if not frames:
        return None
    template, line, _, variables = frames[-1]
    inside = line - template.source.first_line + 1
    read = {name for name, at in template.facts.names_read if at == inside}
    values = {name: value for name in sorted(read) if not callable(value := _value_of(name, variables))}
    known = [
        f"{name} = {value!r:.60}{_set_at(render, name, template, inside)}"
        for name, value in values.items()
        if value is not missing and not isinstance(value, jinja2.Undefined)
    ]
    return f"here {', '.join(known)}" if known else "correct the expression"


def _value_of(name: str, variables: Mapping[str, Any]) -> Any:
    """The value of a name such as `ns.lr`; `missing` when it has none."""
    root, *rest = name.split(".")
    value = variables.get(root, missing)
    for attribute in rest:
        inner = object.__getattribute__(value, "_Namespace__attrs") if isinstance(value, Namespace) else {}
        value = inner.get(attribute, missing)
    return value


def _set_at(render: Render, name: str, reader: CompiledTemplate, line: int) -> str:
    """Where an attribute of a namespace got its value: children set it behind what their parents do."""
    lost = [(template.number, fact) for template, fact, _ in replaced_sets(render, name)]
    for template in render.loaded.values():
        for fact in reversed(template.facts.sets):
            earlier = template is not reader or fact.line < line
            if "." in name and fact.target == name and earlier and (template.number, fact) not in lost:
                return f" (set in {template.source.file}:{fact.line + template.source.first_line - 1})"
    return ""


def _undefined(render: Render, error: UndefinedNameError) -> TemplateError:
    plain = _at_line(render, error, str(error), "FG0203")
    if not isinstance(error.name, str):
        return plain
    if error.owner is missing and error.name == "super":
        help = "no template above this one has a block of this name: remove the call, or correct the name of the block"
        return _copy(plain, "there is no parent block that super() could repeat", help)
    if error.owner is missing:
        message, known = f"{error.name!r} is not defined", _visible_names(render)
    elif isinstance(error.owner, Namespace):
        holder = _holder(plain.snippet or "", error.name)
        message = f"'{holder}.{error.name}' is not defined"
        attributes = object.__getattribute__(error.owner, "_Namespace__attrs")
        known = {f"{holder}.{name}": None for name in attributes}
        dotted = f"{holder}.{error.name}"
        return _copy(plain, message, _lost_set(render, dotted) or nearest(dotted, known))
    else:
        return plain
    given = "give it a value (a dynamic argument, or `-- set`), or use `| default(...)`"
    return _copy(plain, message, did_you_mean(error.name, known) or given)


def _lost_set(render: Render, name: str) -> str | None:
    """Who replaced the block that would have set `name`."""
    for template, fact, by in replaced_sets(render, name):
        place = f"{template.source.file}:{fact.line + template.source.first_line - 1}"
        block = by.around.name
        return f"{by.place} replaces [{block}], in which {place} sets it: write `== super()` first in that [{block}]"
    return None


def _copy(error: TemplateError, message: str, help: str | None) -> TemplateError:
    return TemplateError(message, code=error.code, span=error.span, snippet=error.snippet, help=help)


def _holder(line: str, name: str) -> str:
    found = re.search(rf"(\w+)\.{re.escape(name)}\b", line)
    return found[1] if found else "ns"


def _visible_names(render: Render) -> dict[str, None]:
    """What a name may have been meant to be: given, set, or given a default somewhere, as dynamic arguments are."""
    names = dict.fromkeys(render.variables)
    for facts in (template.facts for template in render.loaded.values()):
        defaults = (default for fact in (*facts.expressions, *facts.sets) for default in fact.defaults)
        known = [*(fact.target for fact in facts.sets), *(default.name for default in defaults)]
        names |= {name: None for name in known if "." not in name}
    return names
