"""The imports of a generated file, in the order and the groups in which one writes them by hand."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Final

_WIDTH: Final = 120


def import_block(modules: Iterable[str], symbols: Iterable[tuple[str, str]]) -> str:
    """Import statements for whole `modules` and for (module, symbol) pairs; a pair may occur twice.

    Three groups: the standard library, what is installed, and the files beside the generated one.
    """
    groups: list[list[str]] = [[], [], []]
    for module in sorted(set(modules)):
        groups[_group(module)].append(f"import {module}")
    pairs = set(symbols)
    for module in sorted({module for module, _ in pairs}):
        groups[_group(module)] += _lines(module, sorted((name for each, name in pairs if each == module), key=_order))
    return "\n\n".join("\n".join(lines) for lines in groups if lines)


def _group(module: str) -> int:
    if module.startswith("."):
        return 2
    return 0 if module.partition(".")[0] in sys.stdlib_module_names else 1


def _order(symbol: str) -> tuple[int, str]:
    """CONSTANTS, then Classes, then functions."""
    name = symbol.partition(" as ")[0]
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2
    return kind, symbol.lower()


def _lines(module: str, symbols: Sequence[str]) -> list[str]:
    plain = [symbol for symbol in symbols if " as " not in symbol]
    renamed = [f"from {module} import {symbol}" for symbol in symbols if " as " in symbol]
    if not plain:
        return renamed
    line = f"from {module} import {', '.join(plain)}"
    if len(line) > _WIDTH:
        line = f"from {module} import (\n" + "".join(f"    {symbol},\n" for symbol in plain) + ")"
    return [line, *renamed]
