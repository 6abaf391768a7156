"""What one render may use up: steps, text, templates. A template that asks for more is mistaken or hostile.

The sandbox of Jinja2 keeps templates away from Python, not from its memory and time: `'x' * 10 ** 9` is an ordinary
expression. Each operation that can make much out of little is asked for its result's size before it runs, and what
repeats is counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from itertools import chain, islice
from typing import Any, Final

from jinja2 import Environment, nodes, pass_environment
from jinja2.filters import make_attrgetter
from jinja2.utils import generate_lorem_ipsum

MAX_STEPS: Final = 1_000_000
MAX_TEXT: Final = 16_000_000  # characters of one text, or items of one list
MAX_TOTAL: Final = 4 * MAX_TEXT
MAX_TEMPLATES: Final = 10_000
MAX_WIDTH: Final = 100_000
_MAX_BITS: Final = 100_000
COUNTED_FILTER: Final = "_counted"
JOINED_FILTER: Final = "_joined"
_SIZED: Final = (str, bytes, list, tuple)
_WIDE_FIELD: Final = r"%(\(\w+\))?[-+ #0]*(\d{6}|\d*\.\d{6})|\{[^{}]*:[^{}]*\d{6}"
_OPEN_FIELD: Final = r"%(\(\w+\))?[-+ #0]*(\d*\.)?\*|\{[^{}]*:[^{}]*\{"
_WIDENING: Final = ("center", "indent", "wordwrap", "batch", "slice", "tojson", "truncate", "format", "replace")


def _once(text: str | bytes) -> int:
    return 1


_REPEATS: Final[Mapping[str, Callable[[Any], int]]] = {
    "indent": lambda text: text.count("\n") + 1,
    "expandtabs": lambda text: text.count("\t" if isinstance(text, str) else b"\t"),
    "wordwrap": len,
    "tojson": lambda text: MAX_TEXT // 100,  # the indentation, before each of its lines
    generate_lorem_ipsum.__name__: lambda text: MAX_TEXT // 1000,  # the number of paragraphs
}
"""How often a filter or method may write what is as wide as its arguments say."""


class LimitError(Exception):
    """A render used up more than it may. `written` is the text made last: its marks tell the place."""

    def __init__(self, message: str, written: str = "") -> None:
        super().__init__(message)
        self.written = written


class Budget:
    """What a render has used up so far. Every method raises `LimitError` when it is too much."""

    def __init__(self) -> None:
        self.steps = 0
        self.size = 0
        self.templates = 0

    def step(self) -> None:
        """Something happened that a template can repeat: a round of a loop, a call."""
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise LimitError(f"more than {MAX_STEPS:,} rounds of loops and calls")

    def template(self) -> None:
        """A template was asked for."""
        self.templates += 1
        if self.templates > MAX_TEMPLATES:
            raise LimitError(f"more than {MAX_TEMPLATES:,} templates are included")

    def charge(self, value: Any) -> Any:
        """`value`, whose size counts when it is text or a list."""
        if isinstance(value, _SIZED):
            self.size += _fits(len(value))
            if self.size > MAX_TOTAL:
                raise LimitError(f"expressions made more than {MAX_TOTAL:,} characters or items")
        return value

    def counted(self, items: Iterable[Any]) -> Iterator[Any]:
        """The items of a loop."""
        for item in items:
            self.step()
            yield item

    def joined(self, items: Iterable[Any]) -> str:
        """What `~` makes of its operands."""
        return self.charge("".join(map(str, items)))

    def concatenated(self, pieces: Iterable[str]) -> str:
        """The text of a template, a block, a macro or a `set` block."""
        kept: list[str] = []
        size = 0
        for piece in pieces:
            size += len(piece)
            kept.append(piece)
            if size > MAX_TEXT:
                raise LimitError(f"the rendered text has more than {MAX_TEXT:,} characters", "".join(kept[-3:]))
        return "".join(kept)

    def join(self, items: Iterable[Any], separator: str) -> str:
        """`separator.join(items)`."""
        words = map(str, items)
        return self.charge(self.concatenated(chain(islice(words, 1), (separator + word for word in words))))

    def guarded(self, function: Callable[..., Any], name: str, *bound: Any) -> Callable[..., Any]:
        """A filter, or a method with the text it is `bound` to, that is checked before it runs."""

        @wraps(function)  # keeps what tells Jinja2 that the filter wants the environment or the context
        def limited(*args: Any, **kwargs: Any) -> Any:
            check_call(name, *bound, *args, *kwargs.values())
            return self.charge(function(*args, **kwargs))

        return limited

    def guard_filters(self, filters: dict[str, Callable[..., Any]]) -> None:
        """Replace the filters that can make much out of little."""

        @pass_environment
        def join(environment: Environment, value: Any, d: Any = "", attribute: str | int | None = None) -> str:
            items = value if attribute is None else map(make_attrgetter(environment, attribute), value)
            return self.join(items, str(d))

        filters |= {name: self.guarded(filters[name], name) for name in _WIDENING}
        filters |= {COUNTED_FILTER: self.counted, JOINED_FILTER: self.joined, "join": join}


def check_call(name: str, *values: Any) -> None:
    """Refuse a filter or method of text whose result would be too large; `values` are the text and the arguments."""
    texts: list[Any] = [value for value in values if isinstance(value, (str, bytes))]
    numbers = [abs(value) for value in values if isinstance(value, int)]
    if name == "format":
        _check_format(texts, numbers)
    elif name == "replace" and len(texts) > 2:
        _fits(len(texts[0]) + texts[0].count(texts[1]) * len(texts[2]))
    else:
        text, *others = texts or [""]
        width = max([*numbers, *map(len, others)], default=0)
        _fits(len(text) + _REPEATS.get(name, _once)(text) * width)


def _check_format(texts: list[Any], numbers: list[int]) -> None:
    """The width of a field is written in the format, or is one of the arguments."""
    formats = [text for text in texts if isinstance(text, str)]
    wide = any(re.search(_WIDE_FIELD, text) for text in formats)
    if wide or (any(re.search(_OPEN_FIELD, text) for text in formats) and max(numbers, default=0) > MAX_WIDTH):
        raise LimitError(f"a field of a format is wider than {MAX_WIDTH:,}")


def is_widening(function: Any) -> bool:
    """Whether calling `function` can make much out of little: methods of text and numbers, and lorem ipsum."""
    return isinstance(getattr(function, "__self__", None), (str, bytes, int)) or function is generate_lorem_ipsum


def check_operation(operator: str, left: Any, right: Any) -> None:
    """Refuse `left operator right` when its result would be too large."""
    match operator, left, right:
        case ("*", int(), int()) if left.bit_length() + right.bit_length() > _MAX_BITS:
            raise LimitError("the product has too many digits")
        case ("**", int(), int()) if left.bit_length() * max(right, 0) > _MAX_BITS:
            raise LimitError("the power has too many digits")
        case ("*", str() | bytes() | list() | tuple(), int()):
            _fits(len(left) * right)
        case ("*", int(), str() | bytes() | list() | tuple()):
            _fits(left * len(right))
        case ("%", str(), _):
            check_call("format", left, *(right if isinstance(right, tuple) else (right,)))


def _fits(size: int) -> int:
    if size > MAX_TEXT:
        raise LimitError(f"a text or list of more than {MAX_TEXT:,} characters or items")
    return size


def limit_template(node: nodes.Node) -> None:
    """Let loops and `~` in a syntax tree count what they do, in place."""
    for loop in node.find_all(nodes.For):
        loop.iter = _filtered(loop.iter, COUNTED_FILTER, loop)
    for holder in [node, *node.find_all(nodes.Node)]:
        for field, value in list(holder.iter_fields()):
            if isinstance(value, list):
                value[:] = [_joining(item) for item in value]
            else:
                setattr(holder, field, _joining(value))


def _joining(value: Any) -> Any:
    if not isinstance(value, nodes.Concat):
        return value
    operands = nodes.Tuple(value.nodes, "load", lineno=value.lineno)
    operands.environment = value.environment
    return _filtered(operands, JOINED_FILTER, value)


def _filtered(value: Any, name: str, place: nodes.Node) -> nodes.Filter:
    filtered = nodes.Filter(value, name, [], [], None, None, lineno=place.lineno)
    filtered.environment = place.environment
    return filtered
