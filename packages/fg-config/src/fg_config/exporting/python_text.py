"""Python expressions as text: literals, and a layout that puts one argument on a line when a call gets long."""

from __future__ import annotations

import builtins
import keyword
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

WIDTH: Final = 92  # templates indent by four to eight more
_INDENT: Final = 4


@dataclass(frozen=True, slots=True)
class Group:
    """A bracketed list that fits on one line or takes one line per item."""

    open: str
    items: tuple[Doc, ...]
    close: str
    separator: str = ","
    single_needs_separator: bool = False  # the tuple of one: (x,)


Doc: TypeAlias = "tuple[str | Group, ...]"


def flat(doc: Doc) -> str:
    """`doc` on one line."""
    return "".join(part if isinstance(part, str) else _flat_group(part) for part in doc)


def _flat_group(group: Group) -> str:
    inner = f"{group.separator} ".join(flat(item) for item in group.items)
    single = group.single_needs_separator and len(group.items) == 1
    return f"{group.open}{inner}{group.separator if single else ''}{group.close}"


def layout(doc: Doc, *, indent: int = 0, prefix: int = 0) -> str:
    """`doc` as text no wider than `WIDTH` where its groups allow, every line but the first indented by `indent`.

    `prefix` is the number of characters that already stand on the first line, beyond the indentation.
    """
    line = flat(doc)
    if indent + prefix + len(line) <= WIDTH or not any(isinstance(part, Group) and part.items for part in doc):
        return line
    return "".join(part if isinstance(part, str) else _tall_group(part, indent) for part in doc)


def _tall_group(group: Group, indent: int) -> str:
    if not group.items:
        return group.open + group.close
    inner = indent + _INDENT
    lines = [f"{' ' * inner}{layout(item, indent=inner, prefix=1)}{group.separator}\n" for item in group.items]
    return f"{group.open}\n{''.join(lines)}{' ' * indent}{group.close}"


def call(function: str, arguments: Iterable[Doc]) -> Doc:
    return (function, Group("(", tuple(arguments), ")"))


def parenthesised(doc: Doc) -> Doc:
    return (Group("(", (doc,), ")", separator=""),)


def string(value: str) -> Doc:
    """A string literal; text of several lines becomes adjacent literals, one per line."""
    lines = value.splitlines(keepends=True)
    if len(lines) < 2:
        return (quoted(value),)
    return (Group("(", tuple((quoted(line),) for line in lines), ")", separator=""),)


def quoted(value: str) -> str:
    """`repr` with double quotes, which is how formatted source has them; a regular expression as a raw string."""
    if "\\" in value and '"' not in value and value.isprintable() and not value.endswith("\\"):
        return f'r"{value}"'
    literal = repr(value)
    return literal if "'" in value or '"' in value else f'"{literal[1:-1]}"'


def is_name(text: str) -> bool:
    """Whether `text` can stand as a name in source and still be the same text (Python applies NFKC to names)."""
    return (
        text.isidentifier()
        and not keyword.iskeyword(text)
        and text != "__debug__"
        and unicodedata.normalize("NFKC", text) == text
    )


def is_dotted_name(text: str) -> bool:
    return all(is_name(part) for part in text.split("."))


def snake_case(name: str) -> str:
    """`RMSNorm` → `rms_norm`: the variable one would call an instance of a class."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return words.lower()


@dataclass(slots=True)
class Namespace:
    """Hands out names so that no two things of the generated file share one."""

    taken: set[str] = field(default_factory=set)

    def claim(self, *wishes: str) -> str:
        """The first of `wishes` (made an identifier) that is free, else the last one with a number."""
        candidates = [_identifier(wish) for wish in wishes]
        free = (name for name in candidates if name not in self.taken)
        name = next(free, None) or self._numbered(candidates[-1])
        self.taken.add(name)
        return name

    def claim_local(self, *wishes: str) -> str:
        """Like `claim`, for an assignment: it must not hide a builtin that the code around may use."""
        return self.claim(*(f"{wish}_" if hasattr(builtins, wish) else wish for wish in wishes))

    def _numbered(self, name: str) -> str:
        number = 2
        while f"{name}_{number}" in self.taken:
            number += 1
        return f"{name}_{number}"


def _identifier(text: str) -> str:
    name = re.sub(r"\W", "_", unicodedata.normalize("NFKC", text))
    if not name.isidentifier():
        name = re.sub(r"[^A-Za-z0-9_]", "_", f"_{name}")
    return f"{name}_" if keyword.iskeyword(name) or name == "__debug__" else name
