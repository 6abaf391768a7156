"""From the content of a call node to its arguments."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fg_config.nodes import Value
from fg_config.shown import shown_scalar, shown_type, shown_value

_POSITION: Final = re.compile(r"arg(\d+)")
_MakeError = Callable[[str, "str | None"], Exception]


@dataclass(slots=True)
class Arguments:
    """Arguments of a call. `origins` says where each one stood: argument → (container, key in it)."""

    args: list[Value] = field(default_factory=list)
    kwargs: dict[str, Value] = field(default_factory=dict)
    latent_args: Value = None
    submodule_searchpath: Value = None
    origins: dict[str | int, tuple[Any, Hashable]] = field(default_factory=dict)

    def add_positional(self, value: Value, container: Any, key: Hashable) -> None:
        """Append a positional argument."""
        self.origins[len(self.args)] = (container, key)
        self.args.append(value)

    def add_keyword(self, name: str, value: Value, container: Any) -> None:
        """Set a keyword argument, or one of the two keywords that belong to the language."""
        self.origins[name] = (container, name)
        if name == "latent_args":
            self.latent_args = value
        elif name == "submodule_searchpath":
            self.submodule_searchpath = value
        else:
            self.kwargs[name] = value


def split_arguments(content: list[Value] | dict[Any, Value] | None, make_error: _MakeError) -> Arguments:
    """A list is positional. A mapping is, by the first rule that fits: only `args`, only `kwargs`, exactly both
    (all non-null), or else keywords, of which `arg0`, `arg1` … are positional in the order of their numbers.
    """
    result = Arguments()
    if isinstance(content, list):
        _add_all(result, content, make_error)
    elif content:
        explicit = {key for key in ("args", "kwargs") if content.get(key) is not None}
        if explicit and content.keys() == explicit:
            if "args" in explicit:
                _add_all(result, content["args"], make_error)
            if "kwargs" in explicit:
                _add_keywords(result, content["kwargs"], make_error)
        else:
            _add_mixed(result, content, make_error)
    return result


def _add_all(result: Arguments, items: Value, make_error: _MakeError) -> None:
    if not isinstance(items, list):
        help = "alone, `args` holds all positional arguments; a keyword of that name goes into `kwargs: {args: …}`"
        raise make_error(f"`args` must be a list, not {shown_value(items)}", help)
    for index, item in enumerate(items):
        result.add_positional(item, items, index)


def _add_keywords(result: Arguments, keywords: Value, make_error: _MakeError) -> None:
    if not isinstance(keywords, Mapping):
        raise make_error(f"`kwargs` must be a mapping, not {shown_value(keywords)}", None)
    for name, value in keywords.items():
        result.add_keyword(_checked(name, make_error), value, keywords)


def _add_mixed(result: Arguments, content: Mapping[Any, Value], make_error: _MakeError) -> None:
    positions: dict[int, str] = {}
    for name, value in content.items():
        position = _POSITION.fullmatch(_checked(name, make_error))
        if position is None:
            result.add_keyword(name, value, content)
        elif positions.setdefault(int(position[1]), name) != name:
            raise make_error(
                f"{positions[int(position[1])]!r} and {name!r} are the same position",
                "number them apart; gaps are allowed",
            )
    for _, name in sorted(positions.items()):
        result.add_positional(content[name], content, name)


def _checked(name: object, make_error: _MakeError) -> str:
    if not isinstance(name, str):
        raise make_error(f"the keyword {shown_scalar(name)} is {shown_type(name)}, not a string", "put it in quotes")
    return name
